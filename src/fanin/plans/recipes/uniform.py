"""A uniform law of one standard deviation for every weight, whatever its fans."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Role
from fanin.initializers import Uniform
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.model import Decision


def uniform(graph: Graph, *, std: float = 0.01) -> Mapping[str, Decision]:
    """Every weight U(±√3 std), of the same variance as normal(std), blind to fans.

    For: comparing distributions at equal variance.
    Not for: models of several widths; it is too small or too large for the others.
    Reference: Poole et al. 2016: in wide layers only a law's mean and variance count.
    """
    rule = always(Uniform.of_std(std), f"the same U(±√3 · {std:g}) for every weight, blind to its fan_in")
    return by_role(graph, {**PLAIN, **dict.fromkeys((Role.WEIGHT, Role.RECURRENT, Role.EMBEDDING, Role.ROUTER), rule)})
