"""Self-normalizing networks."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Role
from fanin.initializers import lecun_normal
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.model import Decision

SOURCE = "Klambauer et al. 2017, Initialization"


def snn(graph: Graph) -> Mapping[str, Decision]:
    """Var(w) = 1/fan_in, normal: with SELU, mean 0 and variance 1 are then a fixed point that attracts.

    For: SELU networks with alpha dropout.
    Not for: other activations, or inputs that are not standardised.
    Reference: Klambauer et al. 2017, "Self-normalizing neural networks", paragraph "Initialization".
    """
    rule = always(lecun_normal(), "Var(w) = 1/fan_in: SELU's own fixed point is variance 1", SOURCE)
    return by_role(graph, {**PLAIN, Role.WEIGHT: rule})
