"""From recorded calls of Keras to calls of layers in PyTorch's words.

Images of Keras have their channels last, PyTorch's operations want them first. A signal is known in one order or both,
and is turned only where the next operation needs it: a convolutional net has the graph that it would have in PyTorch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import keras
import numpy as np

from fanin.frameworks.keras.record import Recorded
from fanin.frameworks.keras.variables import Variables, layer_path
from fanin.graph import ActivationCall, Held, LayerCall, Ref
from fanin.graph.operations import Slot

Shape = tuple[int, ...]


@dataclass
class Signal:
    """A symbolic tensor: the node that makes it, with channels last as in Keras, and with channels first."""

    shape: Shape
    last: Ref | None = None
    first: Ref | None = None


@dataclass
class Description:
    """Collects the calls.

    Attributes:
        constants: tensors that are no parameter and no signal, by the name of their `Ref`.
        unseen: layers that were not looked into, and why.
        tensors: the symbolic tensor that a node stands for, by the node's name, where there is one.
    """

    model: Any
    variables: Variables
    calls: list[LayerCall] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)
    unseen: dict[str, str] = field(default_factory=dict)
    signals: dict[int, Signal] = field(default_factory=dict)
    tensors: dict[str, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    now: Recorded | None = None

    def emit(
        self,
        op: str,
        arguments: Mapping[str, Any],
        shape: Shape,
        *,
        activation: ActivationCall | None = None,
        **also: Any,
    ) -> Ref:
        """One call of an operation of PyTorch's; returns its result."""
        number = self.counts[op]
        self.counts[op] += 1
        name = f"{op}_{number}" if number else op
        layer = self.now.layer if self.now else None
        self.calls.append(
            LayerCall(
                name,
                op,
                arguments,
                shape,
                activation=activation,
                module=layer_path(self.model, layer),
                module_type=f"keras.layers.{type(layer).__name__}" if layer is not None else "",
                source=self.now.source if self.now else "",
                **also,
            )
        )
        return Ref(name, 0, shape)

    def gives(self, tensor: Any, ref: Ref, *, first: bool = False) -> None:
        """The tensor is what this node makes."""
        signal = self.signals.setdefault(id(tensor), Signal(tuple(map(int, tensor.shape))))
        if first:
            signal.first = ref
        else:
            signal.last = ref
        if ref.result == 0:
            self.tensors.setdefault(ref.name, id(tensor))

    def is_signal(self, x: Any) -> bool:
        """Whether it is a symbolic tensor that was made before."""
        return id(x) in self.signals

    def has_first(self, x: Any) -> bool:
        """Whether the tensor is known with channels first."""
        return self.is_signal(x) and self.signals[id(x)].first is not None

    def last(self, x: Any) -> Any:
        """A signal as Keras has it; a parameter; a number as it is; other tensors as constants."""
        if not self.is_signal(x):
            return self.other(x)
        signal = self.signals[id(x)]
        if signal.last is None:
            assert signal.first is not None
            rank = len(signal.shape)
            dims = (0, *range(2, rank), 1)
            signal.last = self.emit("permute", {"self": signal.first, "dims": dims}, signal.shape)
        return signal.last

    def first(self, x: Any) -> Ref:
        """A signal with channels first."""
        signal = self.signals[id(x)]
        if signal.first is None:
            assert signal.last is not None
            if len(signal.shape) < 3:
                return signal.last
            shape = channels_first(signal.shape)
            dims = (0, len(shape) - 1, *range(1, len(shape) - 1))
            signal.first = self.emit("permute", {"self": signal.last, "dims": dims}, shape)
        return signal.first

    def other(self, x: Any) -> Any:
        """What is no signal: a parameter, a number, or a constant."""
        if x is None or isinstance(x, (bool, int, float, str)):
            return x
        if id(x) in self.variables.path_of:
            return self.held(x)
        value = x.value if isinstance(x, keras.Variable) else x
        try:
            array = np.asarray(keras.ops.convert_to_numpy(value))
        except Exception:  # noqa: BLE001  # an object of the user's
            return str(x)
        if array.size == 1:
            return array.item()
        return self.constant(array)

    def constant(self, array: Any, kind: str = "constant") -> Ref:
        """A tensor that is the same in every call."""
        name = f"{kind}_{len(self.constants)}"
        self.constants[name] = array
        return Ref(name, 0, tuple(array.shape))

    def held(self, variable: Any) -> Held:
        """A variable as a parameter."""
        return self.variables.held[self.variables.path_of[id(variable)]]

    def parameter(self, variable: Any, slot: Slot | None = None) -> Held | None:
        """A variable of a layer, which may lack it; with what it is, where PyTorch's operation does not say it."""
        if variable is None or id(variable) not in self.variables.path_of:
            return None
        held = self.held(variable)
        if slot is None:
            return held
        return Held(held.path, held.shape, held.layout, held.dtype, held.frozen, held.also, held.owner, slot)


def channels_first(shape: Shape) -> Shape:
    """(batch, *positions, channels) → (batch, channels, *positions)."""
    return (shape[0], shape[-1], *shape[1:-1]) if len(shape) > 2 else shape


def snake(name: str) -> str:
    """As PyTorch would call an operation: "GlobalMaxPool" → "global_max_pool"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def input_of(call: Recorded) -> Any:
    """The first argument of a call."""
    return call.args[0] if call.args else next(iter(call.kwargs.values()))


Describe: TypeAlias = Callable[[Description, Recorded], None]
"""Emits what one call is."""


def generic(d: Description, call: Recorded) -> None:
    """An operation that is in no table: it reads what it reads; no rule predicts it."""
    named = {f"argument_{i}": x for i, x in enumerate(call.args)} | dict(call.kwargs)
    arguments: dict[str, Any] = {}
    for name, x in named.items():
        if isinstance(x, (list, tuple)):
            arguments[name] = tuple(d.last(each) for each in x)
        elif x is not None and not isinstance(x, (bool, str)):
            arguments["self" if name == "argument_0" else name] = d.last(x)
    kind = type(call.what).__name__ if not callable(getattr(call.what, "__name__", None)) else ""
    kind = getattr(call.what, "__name__", None) or kind
    shapes = tuple(tuple(map(int, out.shape)) for out in call.outputs)
    if not shapes:
        return
    made = d.emit(snake(kind).strip("<>") or "operation", arguments, shapes[0], shapes=shapes)
    for i, (out, shape) in enumerate(zip(call.outputs, shapes, strict=True)):
        d.gives(out, Ref(made.name, i, shape))
