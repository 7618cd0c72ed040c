"""What the checks look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from fanin.activations import activation, moments
from fanin.errors import BadInput
from fanin.graph import Graph, Layer
from fanin.signals import LayerSignal, ParameterSignal, Signals, by_depth


@dataclass(frozen=True)
class Evidence:
    """A graph and the signals that flowed through it."""

    graph: Graph
    signals: Signals

    @cached_property
    def layers(self) -> tuple[LayerSignal, ...]:
        """The layers in the order they run."""
        return by_depth(self.graph, self.signals)

    def weight(self, layer: Layer) -> ParameterSignal:
        """The weight's own moments and its gradient's."""
        return self.signals.parameters[layer.weight]

    def weight_scale(self, layer: Layer) -> float | None:
        """fan_in · E[w²]: what the layer multiplies a second moment by; None where it has no fans."""
        fans = self.graph.by_path[layer.weight].fans
        return fans.fan_in * self.weight(layer).value.second_moment if fans else None

    def scale_sentence(self, layer: Layer) -> str:
        """The weight's scale beside the one that its activation asks for, in words."""
        scale = self.weight_scale(layer)
        if scale is None:
            return f"the operation {layer.node.op} gives its weight no fans"
        have = f"fan_in · E[w²] = {scale:.3g} in {layer.weight}"
        wanted = _wanted_scale(layer)
        return have + (
            f", where {layer.activation or 'a linear layer'} keeps its signal at {wanted:.3g}" if wanted else ""
        )


def _wanted_scale(layer: Layer) -> float | None:
    """The scale at which the layer neither shrinks nor grows a signal of second moment 1."""
    phi = layer.activation
    if phi is None:
        return 1.0
    known = activation(phi.name, **phi.parameters)
    if known.saturates:
        return 1 / known.slope_at_zero**2 if known.slope_at_zero else None
    try:
        return moments(phi.name, **phi.parameters).forward ** 2
    except BadInput:  # an activation that gives nothing back has no gain
        return None
