"""The activation that consumes each layer's output decides its gain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fanin.activations import activation, moments
from fanin.graph import ActivationCall, Graph, Layer, Role, layers
from fanin.initializers import VarianceScaling, glorot_normal, he_normal, lecun_normal
from fanin.plans.by_role import PLAIN, by_role
from fanin.plans.model import Decision


def auto(graph: Graph) -> Mapping[str, Decision]:
    """Gain from the activation that each weight really feeds; biases zero, norms at identity. The default."""
    feeding = {layer.weight: weight_for(layer) for layer in reversed(layers(graph))}  # the first use decides
    further = Decision(lecun_normal(), "not the first weight of its operation: unit gain")  # stacked LSTMs
    return by_role(graph, {**PLAIN, Role.WEIGHT: lambda p: feeding.get(p.path, further)})


def weight_for(layer: Layer) -> Decision:
    """Four cases: nothing follows, a rectifier, an activation that saturates, or any other."""
    phi = layer.activation
    if phi is None:
        follows = "it makes the output" if layer.next_op == "output" else f"no activation follows, {layer.next_op} does"
        return Decision(lecun_normal(), f"{follows}: unit gain", "LeCun et al. 1998, §4.6")
    if phi.name in RECTIFIERS:
        rectifier = he_normal(dict(phi.parameters).get("negative_slope", RECTIFIERS[phi.name]))
        why = f"feeds {phi}: gain 1/√E[φ²] = {rectifier.gain:.4g} gives back what it takes"
        return Decision(rectifier, why, "He et al. 2015, eq. 10 and 15")
    known = activation(phi.name, **phi.parameters)
    if known.saturates and known.slope_at_zero:
        # Near 0 the net is linear with slope φ'(0). If φ(0) = 0, this is the gain at which, without biases, neither the
        # signal nor the gradient grows or shrinks exponentially (χ = 1 at q* = 0).
        gain = 1 / abs(known.slope_at_zero)
        but = "" if known(0.0) == 0 else f"; {phi.name} is not 0 at 0, so depth still costs gradient"
        why = f"feeds {phi}, which saturates: gain 1/|φ'(0)| = {gain:.4g}{but}"
        return Decision(glorot_normal(gain), why, "Glorot & Bengio 2010, eq. 12; Schoenholz et al. 2017, §3")
    gain = _forward_gain(phi)
    why = f"feeds {phi}: gain 1/√E[φ²] = {gain:.4g} gives back what it takes"
    return Decision(VarianceScaling(gain=gain), why, "He et al. 2015, eq. 10, for any activation")


RECTIFIERS: Final = {"relu": 0.0, "leaky_relu": 0.01, "prelu": 0.25}  # their slopes below 0, unless the call says


def _forward_gain(phi: ActivationCall) -> float:
    return moments(phi.name, **phi.parameters).forward
