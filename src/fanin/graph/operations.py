"""What fanin knows of operations, by PyTorch's names: which arguments are parameters, and which are activations.

A layer of another framework is described by the operation of PyTorch's that it is (`graph/calls.py`).

To teach an operation: a line in `SLOTS` (roles and axes of its parameters) or in `ACTIVATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fanin.graph.einsum import einsum_fans
from fanin.graph.fans import Axis, Fans, WeightUse, fans
from fanin.graph.model import ActivationCall, Role
from fanin.graph.parts import Parts

Arguments = Mapping[str, Any]  # by the names of the operation's schema
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Slot:
    """What the parameter in one argument is.

    Attributes:
        fans: for weights, from the call's arguments and the shape in which the operation sees the weight. That shape is
            a view's where the user passes one: of the transposed weight, or of one slice, which is a weight of its own.
            A weight that is passed whole and whose output is split later counts as one, unless its module is in
            `PACKED`: its fan_in is that of each part, its fan_out that of all together.
        parts: the names of the equal parts that it packs along its first axis.
        stacks: a further, leading axis counts independent matrices (experts).
        rank: of the tensor that has it.
    """

    role: Role
    fans: Callable[[Arguments, Shape], Fans | None] | None = None
    parts: tuple[str, ...] = ()
    stacks: bool = False
    rank: int = 3

    def packs(self, shape: Shape) -> Parts | None:
        """The parts of a parameter of that shape."""
        if self.parts:
            return Parts(self.parts)
        return Parts(slices=True) if self.stacks and len(shape) == self.rank else None


UNKNOWN: Final = Slot(Role.UNKNOWN)


def _matrix(*axes: Axis) -> Slot:
    """A matrix, a batch of independent ones (the leading axes), or a vector, which makes one output."""

    def of(_: Arguments, shape: Shape) -> Fans:
        return fans(shape, WeightUse((Axis.IN,))) if len(shape) == 1 else fans(shape[-2:], WeightUse(axes))

    return Slot(Role.WEIGHT, of, stacks=True)


def _conv(arguments: Arguments, shape: Shape) -> Fans:
    axes = (Axis.OUT, Axis.IN, *[Axis.KERNEL] * (len(shape) - 2))
    return fans(shape, WeightUse(axes, groups=arguments.get("groups", 1), stride=_per_axis(arguments, len(shape) - 2)))


def _conv_transposed(arguments: Arguments, shape: Shape) -> Fans:
    axes = (Axis.IN, Axis.OUT, *[Axis.KERNEL] * (len(shape) - 2))
    stride = _per_axis(arguments, len(shape) - 2)
    return fans(shape, WeightUse(axes, groups=arguments.get("groups", 1), stride=stride, transposed=True))


def _per_axis(arguments: Arguments, axes: int) -> tuple[int, ...]:
    """A stride given once for all axes counts for each."""
    stride = list(arguments.get("stride", [1]))
    return tuple(stride * axes) if len(stride) == 1 else tuple(stride)


def packed(names: tuple[str, ...], role: Role = Role.WEIGHT) -> Slot:
    """Equal matrices, one above the other: each has its own fans."""
    use = WeightUse((Axis.OUT, Axis.IN), parts=len(names) or 1)
    return Slot(role, lambda _, shape: fans(shape, use), names)


def packed_bias(names: tuple[str, ...]) -> Slot:
    """The biases of as many parts."""
    return Slot(Role.BIAS, parts=names)


def _bilinear(_: Arguments, shape: Shape) -> Fans:
    """Y = x₁ᵀ W x₂: each output sums over both inputs; seen from x₁, the axis of x₂ counts as a kernel's does."""
    return fans(shape, WeightUse((Axis.OUT, Axis.IN, Axis.KERNEL)))


_OUT_IN = _matrix(Axis.OUT, Axis.IN)  # W @ x
_IN_OUT = _matrix(Axis.IN, Axis.OUT)  # x @ W
_BIAS = Slot(Role.BIAS)
# A lookup copies one row: one term in each output. As a readout, the same table has other fans.
_EMBEDDING = {"weight": Slot(Role.EMBEDDING, lambda _, shape: Fans(1, shape[-1]))}
_EMBEDDING_BAG = {"weight": Slot(Role.EMBEDDING)}  # how many rows meet is up to the data
_LINEAR = {"weight": _OUT_IN, "bias": _BIAS}
_CONV = {"weight": Slot(Role.WEIGHT, _conv), "bias": _BIAS}
_CONV_TRANSPOSED = {"weight": Slot(Role.WEIGHT, _conv_transposed), "bias": _BIAS}
_NORM = {"weight": Slot(Role.NORM_SCALE), "bias": Slot(Role.NORM_SHIFT)}


# The gates packed in the tensors of a recurrent layer, in the order of torch.
GATES: Final[Mapping[str, tuple[str, ...]]] = {
    "lstm": ("i", "f", "g", "o"),
    "gru": ("r", "z", "n"),
    "rnn_tanh": (),
    "rnn_relu": (),
}
# What modules pack in their parameters of these names.
PACKED: Final[Mapping[str, Mapping[str, Slot]]] = {
    "MultiheadAttention": {
        "in_proj_weight": packed(("q", "k", "v")),
        "in_proj_bias": packed_bias(("q", "k", "v")),
    }
}


def _cell(op: str) -> Mapping[str, Slot]:
    gates = GATES[op]
    bias = packed_bias(gates)
    return {"w_ih": packed(gates), "w_hh": packed(gates, Role.RECURRENT), "b_ih": bias, "b_hh": bias}


SLOTS: Final[Mapping[str, Mapping[str, Slot]]] = {
    "linear": _LINEAR,
    "conv1d": _CONV,
    "conv2d": _CONV,
    "conv3d": _CONV,
    "conv_transpose1d": _CONV_TRANSPOSED,
    "conv_transpose2d": _CONV_TRANSPOSED,
    "conv_transpose3d": _CONV_TRANSPOSED,
    "matmul": {"self": _OUT_IN, "other": _IN_OUT},
    "mm": {"self": _OUT_IN, "mat2": _IN_OUT},
    "mv": {"self": _OUT_IN},
    "bmm": {"self": _OUT_IN, "mat2": _IN_OUT},
    "addmm": {"self": _BIAS, "mat1": _OUT_IN, "mat2": _IN_OUT},
    "baddbmm": {"self": _BIAS, "batch1": _OUT_IN, "batch2": _IN_OUT},
    "bilinear": {"weight": Slot(Role.WEIGHT, _bilinear), "bias": _BIAS},
    "embedding": _EMBEDDING,
    "embedding_bag": _EMBEDDING_BAG,
    "layer_norm": _NORM,
    "rms_norm": _NORM,
    "group_norm": _NORM,
    "batch_norm": _NORM,
    "instance_norm": _NORM,
    "_native_batch_norm_legit_functional": _NORM,
    "_native_batch_norm_legit_no_training": _NORM,
    "_grouped_mm": {"self": _OUT_IN, "mat2": _IN_OUT},  # the matrices of experts
    "grouped_mm_fallback": {"weight": _IN_OUT},  # Hugging Face's, where PyTorch's own cannot run
    **{f"{op}_cell": _cell(op) for op in GATES},
}


def recurrent_slots(op: str, arguments: Arguments) -> list[Slot]:
    """The slots of a recurrent operation's flat list `params`.

    For each layer and direction in turn: W_ih, W_hh, then b_ih, b_hh if there are biases, then W_hr if the state is
    projected.
    """
    gates = GATES[op]
    cells = arguments["num_layers"] * (2 if arguments["bidirectional"] else 1)
    biases = [packed_bias(gates)] * 2 if arguments["has_biases"] else []
    cell = [packed(gates), packed(gates, Role.RECURRENT), *biases]
    projected = len(arguments["params"]) > cells * len(cell)
    return [*cell, _OUT_IN] * cells if projected else cell * cells


def einsum_slots(arguments: Arguments) -> list[Slot]:
    """The slots of the operands of an einsum."""

    def slot(position: int) -> Slot:
        return Slot(Role.WEIGHT, lambda a, shape: einsum_fans(a["equation"], position, shape))

    return [slot(position) for position in range(len(arguments["tensors"]))]


def _plain(name: str) -> Callable[[Arguments], ActivationCall]:
    return lambda _: ActivationCall(name)


def _with(name: str, **renamed: str) -> Callable[[Arguments], ActivationCall]:
    """An activation whose parameters fanin calls by other names than ATen does."""
    return lambda arguments: ActivationCall(
        name, {ours: float(arguments[theirs]) for ours, theirs in renamed.items() if theirs in arguments}
    )


def _hardtanh(arguments: Arguments) -> ActivationCall:
    bounds = {"min_val": float(arguments["min_val"]), "max_val": float(arguments["max_val"])}
    return ActivationCall("relu6") if tuple(bounds.values()) == (0, 6) else ActivationCall("hardtanh", bounds)


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
    "hardtanh": _hardtanh,  # nn.ReLU6 is one, too
    "log_sigmoid": _plain("logsigmoid"),
}
