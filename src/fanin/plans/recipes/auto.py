"""The activation that consumes each layer's output decides its gain."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.activations import activation, moments
from fanin.graph import ActivationCall, Graph, Layer, Role, layers
from fanin.initializers import VarianceScaling, glorot_normal, lecun_normal
from fanin.plans.by_role import PLAIN, by_role
from fanin.plans.model import Decision


def auto(graph: Graph) -> Mapping[str, Decision]:
    """Gain from the activation that each weight really feeds; biases zero, norms at identity. The default."""
    feeding = {layer.weight: weight_for(layer) for layer in reversed(layers(graph))}  # the first use decides
    further = Decision(lecun_normal(), "not the first weight of its operation: unit gain")  # stacked LSTMs
    return by_role(graph, {**PLAIN, Role.WEIGHT: lambda p: feeding.get(p.path, further)})


def weight_for(layer: Layer) -> Decision:
    """Three cases: nothing follows, the activation saturates, or it does not."""
    phi = layer.activation
    if phi is None:
        return Decision(
            lecun_normal(),
            "it makes the output: unit gain"
            if layer.next_op == "output"
            else f"no activation follows, {layer.next_op} does: unit gain",
            "LeCun et al. 1998, §4.6",
        )
    known = activation(phi.name, **phi.parameters)
    if known.saturates and known.slope_at_zero:
        # Near 0 the net is linear with slope φ'(0): this gain is the one at which, without biases, neither the signal
        # nor the gradient grows or shrinks exponentially (χ = 1 at q* = 0).
        gain = 1 / abs(known.slope_at_zero)
        return Decision(
            glorot_normal(gain),
            f"feeds {phi}, which saturates: gain 1/φ'(0) = {gain:.4g}",
            "Glorot & Bengio 2010, eq. 12; Schoenholz et al. 2017, §3",
        )
    return Decision(VarianceScaling(gain=_forward_gain(phi)), _keeps(phi), "He et al. 2015, eq. 10, for any activation")


def _forward_gain(phi: ActivationCall) -> float:
    return moments(phi.name, **phi.parameters).forward


def _keeps(phi: ActivationCall) -> str:
    return f"feeds {phi}: gain 1/√E[φ²] = {_forward_gain(phi):.4g} gives back what it takes"
