"""He's rule for rectifiers."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Role
from fanin.initializers import he_normal, he_uniform
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.model import Decision

SOURCE = "He et al. 2015, eq. 10"


def he(graph: Graph, *, negative_slope: float = 0.0, uniform: bool = False) -> Mapping[str, Decision]:
    """Var(w) = 2/((1 + a²) fan_in), a the slope below 0: gives back what the rectifier takes.

    For: ReLU and leaky ReLU.
    Not for: deep tanh nets, in which it makes gradients grow.
    Reference: He et al. 2015, "Delving deep into rectifiers", eq. 10 and 15.
    """
    what = (he_uniform if uniform else he_normal)(negative_slope)
    rule = always(
        what, f"Var(w) = {2 / (1 + negative_slope**2):.4g}/fan_in gives back what the rectifier takes", SOURCE
    )
    return by_role(graph, {**PLAIN, Role.WEIGHT: rule})
