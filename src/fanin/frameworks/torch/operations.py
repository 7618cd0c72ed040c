"""What fanin knows of ATen operations: which arguments are parameters, and which operations are activations.

To teach an operation: a line in `SLOTS` (roles and axes of its parameters) or in `ACTIVATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fanin.graph import ActivationCall, Axis, Role, WeightUse

Arguments = Mapping[str, Any]  # by the names of the operation's schema


@dataclass(frozen=True)
class Slot:
    """What the parameter in one argument is, and for weights how it is used."""

    role: Role
    use: Callable[[Arguments, int], WeightUse] | None = None  # of the call's arguments and the weight's rank


def _axes(*axes: Axis) -> Callable[[Arguments, int], WeightUse]:
    return lambda _, __: WeightUse(axes)


def _conv(arguments: Arguments, rank: int) -> WeightUse:
    axes = (Axis.OUT, Axis.IN, *[Axis.KERNEL] * (rank - 2))
    return WeightUse(axes, groups=arguments.get("groups", 1), stride=_per_axis(arguments, rank - 2))


def _conv_transposed(arguments: Arguments, rank: int) -> WeightUse:
    axes = (Axis.IN, Axis.OUT, *[Axis.KERNEL] * (rank - 2))
    stride = _per_axis(arguments, rank - 2)
    return WeightUse(axes, groups=arguments.get("groups", 1), stride=stride, transposed=True)


def _per_axis(arguments: Arguments, axes: int) -> tuple[int, ...]:
    """A stride given once for all axes counts for each."""
    stride = arguments.get("stride", [1])
    stride = [stride] if isinstance(stride, int) else list(stride)
    return tuple(stride * axes) if len(stride) == 1 else tuple(stride)


def _gates(parts: int) -> Callable[[Arguments, int], WeightUse]:
    return lambda _, __: WeightUse((Axis.OUT, Axis.IN), parts=parts)


_LINEAR = {"weight": Slot(Role.WEIGHT, _axes(Axis.OUT, Axis.IN)), "bias": Slot(Role.BIAS)}
_CONV = {"weight": Slot(Role.WEIGHT, _conv), "bias": Slot(Role.BIAS)}
_CONV_TRANSPOSED = {"weight": Slot(Role.WEIGHT, _conv_transposed), "bias": Slot(Role.BIAS)}
_NORM = {"weight": Slot(Role.NORM_SCALE), "bias": Slot(Role.NORM_SHIFT)}
# x @ W reads W as (in, out); W @ x as (out, in).
_MATMUL = {
    "other": Slot(Role.WEIGHT, _axes(Axis.IN, Axis.OUT)),
    "mat2": Slot(Role.WEIGHT, _axes(Axis.IN, Axis.OUT)),
    "self": Slot(Role.WEIGHT, _axes(Axis.OUT, Axis.IN)),
}

SLOTS: Final[Mapping[str, Mapping[str, Slot]]] = {
    "linear": _LINEAR,
    "conv1d": _CONV,
    "conv2d": _CONV,
    "conv3d": _CONV,
    "conv_transpose1d": _CONV_TRANSPOSED,
    "conv_transpose2d": _CONV_TRANSPOSED,
    "conv_transpose3d": _CONV_TRANSPOSED,
    "matmul": _MATMUL,
    "mm": _MATMUL,
    "addmm": {**_MATMUL, "mat1": _MATMUL["self"], "self": Slot(Role.BIAS)},
    "embedding": {"weight": Slot(Role.EMBEDDING)},
    "layer_norm": _NORM,
    "rms_norm": _NORM,
    "group_norm": _NORM,
    "batch_norm": _NORM,
    "instance_norm": _NORM,
    "_native_batch_norm_legit_functional": _NORM,
    "_native_batch_norm_legit_no_training": _NORM,
}

# Recurrent operations take one flat list `params`: W_ih, W_hh, b_ih, b_hh of each layer and direction in turn.
GATES: Final[Mapping[str, int]] = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def recurrent_slot(op: str, rank: int, position: int) -> Slot:
    """The slot of one entry of a recurrent operation's list of parameters."""
    if rank == 1:
        return Slot(Role.BIAS)
    return Slot(Role.WEIGHT if position % 2 == 0 else Role.RECURRENT, _gates(GATES[op]))


def _plain(name: str) -> Callable[[Arguments], ActivationCall]:
    return lambda _: ActivationCall(name)


def _with(name: str, **renamed: str) -> Callable[[Arguments], ActivationCall]:
    """An activation whose parameters fanin calls by other names than ATen does."""
    return lambda arguments: ActivationCall(
        name, {ours: float(arguments[theirs]) for ours, theirs in renamed.items() if theirs in arguments}
    )


ACTIVATIONS: Final[Mapping[str, Callable[[Arguments], ActivationCall]]] = {
    **{
        name: _plain(name)
        for name in [
            "relu",
            "relu6",
            "tanh",
            "sigmoid",
            "erf",
            "silu",
            "mish",
            "selu",
            "hardswish",
            "hardsigmoid",
            "sin",
        ]
    },
    "gelu": lambda a: ActivationCall("gelu_tanh" if a.get("approximate") == "tanh" else "gelu"),
    "leaky_relu": _with("leaky_relu", negative_slope="negative_slope"),
    "elu": _with("elu", alpha="alpha"),
    "celu": _with("celu", alpha="alpha"),
    "softplus": _with("softplus", beta="beta"),
    "hardtanh": _with("hardtanh", min_val="min_val", max_val="max_val"),
    "log_sigmoid": _plain("logsigmoid"),
}


def arguments_of(node: Any) -> dict[str, Any]:
    """The arguments of an FX node by the names of its operation's schema, defaults included."""
    schema = node.target._schema
    bound = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
    bound |= dict(zip((a.name for a in schema.arguments), node.args, strict=False))
    return bound | dict(node.kwargs)
