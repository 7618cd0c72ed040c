"""Convolutions that are an orthogonal matrix at the kernel's center."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Parameter, Role
from fanin.initializers import DeltaOrthogonal, IsometricConvolution, Orthogonal
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.convolution import groups_of, is_convolution
from fanin.plans.feeding import activations_fed, gain_for, says_what_it_feeds
from fanin.plans.model import Decision
from fanin.plans.recipes.orthogonal import orthogonal_weight

SOURCE = "Xiao et al. 2018 (delta-orthogonal)"


def delta_orthogonal(graph: Graph, *, gain: float | None = None) -> Mapping[str, Decision]:
    """A kernel's center is gain · Q, the rest 0; matrices are gain · Q. The gain is that of the activation fed.

    Where a convolution has fewer outputs than inputs, its transpose is the isometry; grouped ones are as in
    `orthogonal`.

    For: very deep plain CNNs of tanh: with σ_w at the edge of chaos, ten thousand layers train.
    Not for: a receptive field that must be used from the first step; ReLU, which has no isometry.
    Reference: Xiao et al. 2018, "Dynamical isometry and a mean field theory of CNNs".
    """
    fed = activations_fed(graph)

    def weight(p: Parameter) -> Decision:
        phi = fed.get(p.path)
        if not is_convolution(graph, p) or groups_of(graph, p) > 1:
            return orthogonal_weight(graph, p, phi, gain)
        factor = gain_for(phi) if gain is None else gain
        why = says_what_it_feeds(phi) if gain is None else f"gain {factor:g}, as asked"
        if p.shape[0] >= p.shape[1]:
            return Decision(DeltaOrthogonal(factor), f"{why}; orthonormal columns at the center alone", SOURCE)
        return Decision(
            IsometricConvolution(factor), f"{why}; fewer outputs than inputs: its transpose keeps norms", SOURCE
        )

    recurrent = always(Orthogonal(), "orthogonal: keeps norms through time", SOURCE)
    return by_role(graph, {**PLAIN, Role.WEIGHT: weight, Role.RECURRENT: recurrent})
