"""Pointwise activations of Keras: operations, and functions that take no symbolic tensor.

To teach one: a line in `ACTIVATIONS`, class of the operation → the activation of the table, or in `FUNCTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fanin.frameworks.keras.describe import Description, channels_first
from fanin.frameworks.keras.record import Recorded
from fanin.graph import ActivationCall


def _plain(name: str) -> Callable[[Any], ActivationCall]:
    return lambda _: ActivationCall(name)


def _relu(op: Any) -> ActivationCall | None:
    """`keras.activations.relu`, which is several."""
    slope, most, threshold = (float(getattr(op, n) or 0) for n in ("negative_slope", "max_value", "threshold"))
    if threshold or (most and (slope or most != 6)):
        return None
    if most:
        return ActivationCall("relu6")
    return ActivationCall("leaky_relu", {"negative_slope": slope}) if slope else ActivationCall("relu")


ACTIVATIONS: Final[Mapping[str, Callable[[Any], ActivationCall | None]]] = {
    "ReLU": _relu,
    "Gelu": lambda op: ActivationCall("gelu_tanh" if op.approximate else "gelu"),
    "LeakyRelu": lambda op: ActivationCall("leaky_relu", {"negative_slope": float(op.negative_slope)}),
    "Elu": lambda op: ActivationCall("elu", {"alpha": float(op.alpha)}),
    "Celu": lambda op: ActivationCall("celu", {"alpha": float(op.alpha)}),
    **{
        theirs: _plain(ours)
        for theirs, ours in {
            **{"Relu": "relu", "Relu6": "relu6", "Sigmoid": "sigmoid", "Silu": "silu", "Tanh": "tanh", "Selu": "selu"},
            **{"Mish": "mish", "Softplus": "softplus", "Softsign": "softsign", "HardSilu": "hardswish"},
            **{"HardSigmoid": "hardsigmoid", "LogSigmoid": "logsigmoid", "TanhShrink": "tanhshrink"},
            **{"HardTanh": "hardtanh", "Erf": "erf", "Sin": "sin"},
        }.items()
    },
}


FUNCTIONS: Final[Mapping[str, str]] = {
    **{"hard_silu": "hardswish", "hard_sigmoid": "hardsigmoid", "log_sigmoid": "logsigmoid", "mish": "mish"},
    **{"tanh_shrink": "tanhshrink", "hard_tanh": "hardtanh", "softsign": "softsign", "softplus": "softplus"},
    **{"silu": "silu", "selu": "selu", "tanh": "tanh", "sigmoid": "sigmoid", "relu6": "relu6"},
}


# As torch's operations are called, where the activation of the table is called otherwise.
_OPS: Final = {"gelu_tanh": "gelu", "logsigmoid": "log_sigmoid"}


def activation_of(what: Any) -> ActivationCall | None:
    """The activation that an operation or a function is; None if it is none."""
    kind = type(what).__name__
    return ACTIVATIONS[kind](what) if kind in ACTIVATIONS else function_as_activation(what)


def function_as_activation(function: Any) -> ActivationCall | None:
    """A function of `keras.activations` that takes no symbolic tensor, by its name."""
    of_keras = str(getattr(function, "__module__", "")).startswith("keras.")
    name = FUNCTIONS.get(getattr(function, "__name__", "")) if of_keras else None
    return ActivationCall(name) if name else None


def describe_activation(d: Description, call: Recorded, activation: ActivationCall) -> None:
    """A pointwise activation of the first argument."""
    pointwise(d, call, _OPS.get(activation.name, activation.name), activation)


def pointwise(d: Description, call: Recorded, op: str, activation: ActivationCall | None = None) -> None:
    """An operation on each element of the first argument; the order of axes stays."""
    x = call.args[0]
    first = d.has_first(x)
    shape = tuple(call.outputs[0].shape)
    ref = d.emit(
        op,
        {"self": d.first(x) if first else d.last(x)},
        channels_first(shape) if first else shape,
        activation=activation,
    )
    d.gives(call.outputs[0], ref, first=first)
