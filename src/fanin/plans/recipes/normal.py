"""A normal law of one standard deviation for every weight, whatever its fans."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Role
from fanin.initializers import Normal
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.model import Decision


def normal(graph: Graph, *, std: float = 0.01) -> Mapping[str, Decision]:
    """Every weight N(0, std²), blind to fans. Right for one width at most; too small or too large for the others."""
    rule = always(Normal(std=std), f"the same N(0, {std:g}²) for every weight, blind to its fan_in")
    return by_role(graph, {**PLAIN, Role.WEIGHT: rule, Role.RECURRENT: rule, Role.EMBEDDING: rule})
