"""Glorot and Bengio's compromise between the forward and the backward signal."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Role
from fanin.initializers import glorot_normal, glorot_uniform
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.model import Decision

SOURCE = "Glorot & Bengio 2010, eq. 12 and 16"


def xavier(graph: Graph, *, uniform: bool = False) -> Mapping[str, Decision]:
    """Var(w) = 2/(fan_in + fan_out), between the forward and the backward rule.

    For: tanh and linear layers.
    Not for: deep ReLU nets, which lose half the signal at each layer.
    Reference: Glorot & Bengio 2010, eq. 12 and 16.
    """
    what = glorot_uniform() if uniform else glorot_normal()
    rule = always(what, "Var(w) = 2/(fan_in + fan_out), between the forward and the backward rule", SOURCE)
    return by_role(graph, {**PLAIN, Role.WEIGHT: rule})
