"""LeCun's rule: unit gain forward."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Role
from fanin.initializers import lecun_normal, lecun_uniform
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.model import Decision

SOURCE = "LeCun et al. 1998, §4.6"


def lecun(graph: Graph, *, uniform: bool = False) -> Mapping[str, Decision]:
    """Var(w) = 1/fan_in: keeps the second moment through the layer.

    For: linear layers, SELU, and layers that a norm follows.
    Not for: deep ReLU nets, which vanish with it.
    Reference: LeCun et al. 1998, "Efficient backprop", §4.6.
    """
    what = lecun_uniform() if uniform else lecun_normal()
    rule = always(what, "Var(w) = 1/fan_in keeps the second moment through the layer", SOURCE)
    return by_role(graph, {**PLAIN, Role.WEIGHT: rule})
