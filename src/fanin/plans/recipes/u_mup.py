"""u-µP: unit weights, with the scale in the operations."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Parameter, Role
from fanin.initializers import Normal
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.depth import require_roles
from fanin.plans.model import Decision

SOURCE = "Blake et al. 2024 (u-µP), Table 2"


def u_mup(graph: Graph) -> Mapping[str, Decision]:
    """Every weight N(0, 1). It presumes multipliers in the operations: 1/√fan_in, and 1/fan_in in the readout.

    And, with Adam, η/√fan_in for hidden weights, η/√fan_out for embeddings, η for the readout; residual branches
    weighted by the τ of `unit_scaling.core.functional.transformer_residual_scaling_rule`.

    For: models built of the layers of the unit_scaling library.
    Not for: any other model: without the multipliers every layer makes its signal √fan_in times larger.
    Reference: Blake et al. 2024, "u-µP: The unit-scaled maximal update parametrization", Table 2.
    """
    require_roles(graph, "u_mup", "which weights are hidden, and which are the readout")

    def weight(p: Parameter) -> Decision:
        readout = Role.READOUT in p.roles
        multiplier, rate = ("1/fan_in", "η") if readout else ("1/√fan_in", "η/√fan_in")
        why = f"unit weight; presumes that its operation multiplies by {multiplier}, and Adam at {rate}"
        return Decision(Normal(), why, SOURCE)

    table = always(Normal(), "unit weight; presumes Adam at η/√fan_out", SOURCE)
    return by_role(
        graph,
        {**PLAIN, **dict.fromkeys((Role.WEIGHT, Role.RECURRENT, Role.ROUTER), weight), Role.EMBEDDING: table},
    )
