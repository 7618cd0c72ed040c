"""What the checks look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from fanin.graph import Graph, Layer
from fanin.graph.attention import Attention
from fanin.graph.paths import Paths
from fanin.graph.residual import ResidualBranch
from fanin.initializers import Target
from fanin.plans import Plan
from fanin.plans.recipes.auto import weight_for
from fanin.signals import LayerSignal, ParameterSignal, Signals, by_depth
from fanin.signals.circumstances import Chance, InputSeen, Training
from fanin.signals.model import RANDOM_COTANGENT


@dataclass(frozen=True)
class Evidence:
    """A graph, the signals that flowed through it, and what surrounds them.

    Attributes:
        signals: that are judged: measured where the model could be run, or else predicted.
        predicted: of the same start, beside a measurement; None where the prediction failed or is all there is.
        laws: the plan "as built": which law each parameter seems to have been drawn from; None where not looked for.
        follows: how the model is said to start, such as recipe "gpt2"; None where nothing is said.
        inputs: the data, tensor by tensor.
        chance: what the loss is worth without a model; None where that is not known.
        training: the optimizer; None where none is given.
    """

    graph: Graph
    signals: Signals
    predicted: Signals | None = None
    laws: Plan | None = None
    follows: Plan | None = None
    inputs: tuple[InputSeen, ...] = ()
    chance: Chance | None = None
    training: Training | None = None

    @property
    def measured(self) -> bool:
        """The signals are of a real pass."""
        return self.signals.origin == "measured"

    @property
    def given_loss(self) -> bool:
        """The gradients are of a loss that the caller gave, not of the output's random projection."""
        return self.signals.loss_name != RANDOM_COTANGENT

    @property
    def paths(self) -> Paths:
        """The graph as paths from node to node."""
        return self.graph.paths

    @property
    def attentions(self) -> tuple[Attention, ...]:
        """Every attention, in the order they run."""
        return self.graph.structure.attentions

    @property
    def branches(self) -> tuple[ResidualBranch, ...]:
        """Every residual branch, in the order of the additions."""
        return self.graph.structure.branches

    @cached_property
    def layers(self) -> tuple[LayerSignal, ...]:
        """The layers in the order they run."""
        return by_depth(self.graph, self.signals)

    @cached_property
    def layer_of(self) -> Mapping[str, LayerSignal]:
        """The layer of a weight, by the weight's path."""
        return {seen.layer.weight: seen for seen in reversed(self.layers)}

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
            return f"the operation {layer.node.called} gives its weight no fans"
        law = weight_for(layer).initializer.law(Target(parameter.path, parameter.shape, fans=parameter.fans))
        wanted = parameter.fans.fan_in * law.std**2
        asks = f"{layer.activation} asks for" if layer.activation else "a linear layer asks for"
        return f"fan_in · E[w²] = {scale:.3g} in {layer.weight}, where {asks} {wanted:.3g}"
