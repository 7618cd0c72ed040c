"""From a recorded program of Paddle to calls of layers in PyTorch's words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fanin.frameworks.paddle.parameters import Parameters, classes_of
from fanin.frameworks.paddle.record import Recorded, source_of
from fanin.frameworks.paddle.watch import LayerRun
from fanin.graph import ActivationCall, Held, LayerCall, Ref
from fanin.graph.operations import Slot

Shape = tuple[int, ...]


@dataclass
class Description:
    """Collects the calls.

    Attributes:
        constants: values that depend on no input and no parameter, by the name of their `Ref`.
        values: the value in the program that a node stands for, by the node's name.
    """

    recorded: Recorded
    parameters: Parameters
    calls: list[LayerCall] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    signals: dict[int, Ref] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    run: LayerRun | None = None
    source: str = ""

    def emit(
        self,
        op: str,
        arguments: Mapping[str, Any],
        shape: Shape,
        *,
        activation: ActivationCall | None = None,
        shapes: tuple[Shape, ...] = (),
    ) -> Ref:
        """One call of an operation of PyTorch's; returns its result."""
        number = self.counts[op]
        self.counts[op] += 1
        name = f"{op}_{number}" if number else op
        self.calls.append(
            LayerCall(
                name,
                op,
                arguments,
                shape,
                activation=activation,
                module=self.run.path if self.run else "",
                module_type=classes_of(self.run.layer)[0] if self.run else "",
                shapes=shapes,
                source=self.source,
            )
        )
        return Ref(name, 0, shape)

    def gives(self, value: Any, ref: Ref) -> None:
        """The value is what this node makes."""
        self.signals[value.id] = ref
        if ref.result == 0:
            self.values.setdefault(ref.name, value)

    def is_signal(self, value: Any) -> bool:
        """Whether it depends on an input or a parameter."""
        return value.id in self.signals or self.held(value) is not None

    def held(self, value: Any) -> Held | None:
        """The parameter that it is."""
        path = self.parameters.path_of.get(id(self.recorded.tensor_of(value)))
        return None if path is None else self.parameters.held[path]

    def parameter(self, tensor: Any, slot: Slot | None = None) -> Held | None:
        """A tensor of a layer, which may lack it; with what it is, where PyTorch's operation does not say it."""
        path = self.parameters.path_of.get(id(tensor))
        if path is None:
            return None
        held = self.parameters.held[path]
        return replace(held, slot=slot) if slot else held

    def read(self, value: Any) -> Any:
        """A signal, a parameter, a number, or a constant tensor."""
        if value.id in self.signals:
            return self.signals[value.id]
        held = self.held(value)
        if held is not None:
            return held
        known = literal(value)
        return known if isinstance(known, (int, float)) else self.constant(value)

    def constant(self, value: Any) -> Ref:
        """A tensor that is the same in every call."""
        for name, other in self.constants.items():
            if other.id == value.id:
                return Ref(name, 0, shape_of(value))
        name = f"constant_{len(self.constants)}"
        self.constants[name] = value
        return Ref(name, 0, shape_of(value))


def shape_of(value: Any) -> Shape:
    """Its lengths."""
    return tuple(int(n) for n in value.shape)


def literal(value: Any) -> Any:
    """What a value is made with, if that stands in the program: a number, or a list of integers; None otherwise."""
    made = value.get_defining_op() if value is not None else None
    if made is None or made.name() not in {"pd_op.full", "pd_op.full_int_array"}:
        return None
    given = made.attrs()["value"]
    if made.name() == "pd_op.full_int_array":
        return [int(n) for n in given]
    return float(given) if all(n == 1 for n in value.shape) else None


def line_of(operation: Any) -> str:
    """Where in the user's code an operation was called."""
    return source_of(operation.attrs().get("op_callstack", ()))
