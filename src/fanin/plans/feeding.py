"""Which activation each weight feeds, and the gain that goes with it."""

from __future__ import annotations

from fanin.activations import activation, moments
from fanin.graph import ActivationCall, Graph, layers


def activations_fed(graph: Graph) -> dict[str, ActivationCall | None]:
    """Weight → the activation that consumes its result; where a weight is used several times, the first use decides."""
    return {layer.weight: layer.activation for layer in reversed(layers(graph))}


def gain_for(phi: ActivationCall | None) -> float:
    """1/√E φ(z)² gives back what the activation takes; 1/|φ'(0)| where it saturates; 1 where none follows.

    Raises:
        UnknownName: an activation of that name is not in the table.
    """
    if phi is None:
        return 1.0
    known = activation(phi.name, **phi.parameters)
    if known.saturates and known.slope_at_zero:
        return 1 / abs(known.slope_at_zero)
    return moments(phi.name, **phi.parameters).forward


def says_what_it_feeds(phi: ActivationCall | None) -> str:
    """The beginning of a reason: "feeds gelu: gain 1.534"."""
    return f"feeds {phi}: gain {gain_for(phi):.4g}" if phi else "no activation follows: gain 1"
