"""Orthogonal matrices, with the gain of the activation that they feed."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import ActivationCall, Graph, Parameter, Parts, Role
from fanin.initializers import Initializer, Orthogonal, PerPart, VarianceScaling
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.convolution import groups_of
from fanin.plans.feeding import activations_fed, gain_for, says_what_it_feeds
from fanin.plans.model import Decision

SOURCE = "Saxe et al. 2014"


def orthogonal(graph: Graph, *, gain: float | None = None) -> Mapping[str, Decision]:
    """W = gain · Q, Q Haar-distributed: W Wᵀ or Wᵀ W = gain² I. The gain is that of the activation fed.

    Kernels are flattened to (out, in · kernel); the groups of a convolution are orthogonal each for itself.

    For: deep nets of tanh or linear layers, recurrent nets.
    Not for: matrices of tens of thousands of rows and columns, which take minutes.
    Reference: Saxe et al. 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks".
    """
    fed = activations_fed(graph)

    def weight(p: Parameter) -> Decision:
        phi = fed.get(p.path)
        return orthogonal_weight(graph, p, phi, gain)

    recurrent = always(Orthogonal(), "orthogonal: keeps norms through time", SOURCE)
    return by_role(graph, {**PLAIN, Role.WEIGHT: weight, Role.RECURRENT: recurrent})


def orthogonal_weight(graph: Graph, p: Parameter, phi: ActivationCall | None, gain: float | None) -> Decision:
    """One weight: whole, by groups, or elements that are independent where there is nothing to be orthogonal to."""
    factor = gain_for(phi) if gain is None else gain
    why = says_what_it_feeds(phi) if gain is None else f"gain {factor:g}, as asked"
    groups = groups_of(graph, p)
    what: Initializer = Orthogonal(factor)
    if len(p.shape) < 2:
        return Decision(VarianceScaling(factor), f"{why}; a vector is orthogonal to nothing: Var(w) = gain²/fan_in")
    if groups > 1:
        if p.shape[0] == groups:
            return Decision(VarianceScaling(factor), f"{why}; one filter a channel: Var(w) = gain²/fan_in", SOURCE)
        what = PerPart(what, parts=Parts(tuple(map(str, range(groups)))))
        why += f"; each of {groups} groups for itself"
    return Decision(what, f"{why}; orthogonal", SOURCE)
