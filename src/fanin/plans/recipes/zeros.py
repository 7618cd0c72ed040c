"""All zeros: the start that never works, to be seen."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Role
from fanin.initializers import Zeros
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.model import Decision

SOURCE = "Goodfellow, Bengio & Courville 2016, §8.4"


def zeros(graph: Graph) -> Mapping[str, Decision]:
    """Every weight 0: a warning example. All units of a layer stay alike, so the layer learns one feature at most.

    For: seeing what `fanin check` says of it.
    Not for: training.
    Reference: Goodfellow, Bengio & Courville 2016, "Deep Learning", §8.4.
    """
    zero = always(Zeros(), "a warning example: all units of the layer stay alike", SOURCE)
    return by_role(
        graph, {**PLAIN, Role.WEIGHT: zero, **dict.fromkeys((Role.RECURRENT, Role.EMBEDDING, Role.ROUTER), zero)}
    )
