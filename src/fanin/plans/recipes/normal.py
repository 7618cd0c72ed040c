"""A normal law of one standard deviation for every weight, whatever its fans."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Role
from fanin.initializers import Normal
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.model import Decision


def normal(graph: Graph, *, std: float = 0.01) -> Mapping[str, Decision]:
    """Every weight N(0, std²), blind to fans.

    For: one width at most.
    Not for: models of several widths; it is too small or too large for the others.
    Reference: Krizhevsky, Sutskever & Hinton 2012 (AlexNet), §5: std 0.01.
    """
    rule = always(Normal(std=std), f"the same N(0, {std:g}²) for every weight, blind to its fan_in")
    return by_role(graph, {**PLAIN, **dict.fromkeys((Role.WEIGHT, Role.RECURRENT, Role.EMBEDDING, Role.ROUTER), rule)})
