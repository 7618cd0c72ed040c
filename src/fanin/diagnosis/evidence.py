"""What the checks look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from fanin.graph import Graph, Layer
from fanin.initializers import Target
from fanin.plans.recipes.auto import weight_for
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
        """The weight's scale beside the one that the recipe auto would give it, in words."""
        scale, parameter = self.weight_scale(layer), self.graph.by_path[layer.weight]
        if scale is None or parameter.fans is None:
            return f"the operation {layer.node.op} gives its weight no fans"
        law = weight_for(layer).initializer.law(Target(parameter.path, parameter.shape, fans=parameter.fans))
        wanted = parameter.fans.fan_in * law.std**2
        asks = f"{layer.activation} asks for" if layer.activation else "a linear layer asks for"
        return f"fan_in · E[w²] = {scale:.3g} in {layer.weight}, where {asks} {wanted:.3g}"
