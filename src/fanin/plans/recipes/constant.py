"""One number for every weight: a warning example."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Role
from fanin.initializers import Constant, Jittered
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.model import Decision


def constant(graph: Graph, *, value: float = 0.1, jitter: float = 0.0) -> Mapping[str, Decision]:
    """Every weight the same number, with a share of it as noise: a warning example. Units that start alike stay alike.

    For: seeing what `fanin check` says of it.
    Not for: training.
    Reference: Goodfellow, Bengio & Courville 2016, "Deep Learning", §8.4.
    """
    if jitter:
        rule = always(Jittered(Constant(value), jitter), f"{value:g} for every weight, and {jitter:.3g} of it as noise")
    else:
        rule = always(Constant(value), f"{value:g} for every weight: no unit differs from another, nor will")
    return by_role(graph, {**PLAIN, **dict.fromkeys((Role.WEIGHT, Role.RECURRENT, Role.EMBEDDING, Role.ROUTER), rule)})
