"""Weights and biases at the line between order and chaos."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

from fanin.activations import CriticalPoint, EdgeOfChaos
from fanin.activations import edge_of_chaos as edge
from fanin.errors import BadInput
from fanin.graph import ActivationCall, Graph, Parameter, Role
from fanin.initializers import Normal, VarianceScaling, Zeros
from fanin.plans.by_role import PLAIN, by_role
from fanin.plans.feeding import activations_fed
from fanin.plans.model import Decision

SOURCE = "Schoenholz et al. 2017, §3; Hayou, Doucet & Rousseau 2019"


def edge_of_chaos(graph: Graph, *, bias_var: float = 0.0) -> Mapping[str, Decision]:
    """Var(w) = σ_w²/fan_in, Var(b) = bias_var with χ = σ_w² E φ'² = 1 for the activation that really follows.

    For: deep nets without norms or residual branches.
    Not for: ReLU with bias_var above 0, whose variance then grows without end; nets with dropout, where no σ_w² is
    critical.
    Reference: Schoenholz et al. 2017, "Deep information propagation", §3; Hayou, Doucet & Rousseau 2019.

    Raises:
        BadInput: an activation of the model has no edge at this bias_var.
    """
    fed = activations_fed(graph)
    at = {p.node: fed[p.path] for p in graph.parameters if p.path in fed}

    @cache
    def critical(name: str, parameters: tuple[tuple[str, float], ...]) -> EdgeOfChaos:
        return edge(name, bias_var=bias_var, **dict(parameters))

    def point_for(phi: ActivationCall, path: str) -> CriticalPoint:
        found = critical(phi.name, tuple(sorted(phi.parameters.items())))
        if not found.points:
            raise BadInput(
                f"edge_of_chaos: {phi}, which {path} feeds, has none at bias_var={bias_var:g}. {found.reason} "
                "Give another bias_var, edge_of_chaos(bias_var=…), where that can help, or use auto."
            )
        return found.point

    def weight(p: Parameter) -> Decision:
        phi = fed.get(p.path)
        if phi is None:
            return Decision(VarianceScaling(), "no activation follows: Var(w) = 1/fan_in", SOURCE)
        point = point_for(phi, p.path)
        unstable = "" if point.stable else "; the variance drifts away from q*: add a norm, or keep the net shallow"
        why = f"feeds {phi}: σ_w² = {point.weight_var:.5g} at σ_b² = {bias_var:g}, q* = {point.variance:.4g}{unstable}"
        return Decision(VarianceScaling(math.sqrt(point.weight_var)), why, SOURCE)

    def bias(p: Parameter) -> Decision:
        phi = at.get(p.node)
        if phi is None or not bias_var:
            return Decision(Zeros(), "σ_b² = 0" if phi else "no activation follows: zero", SOURCE)
        return Decision(Normal(math.sqrt(bias_var)), f"σ_b² = {bias_var:g}, to which σ_w² belongs", SOURCE)

    return by_role(graph, {**PLAIN, Role.WEIGHT: weight, Role.BIAS: bias})
