"""Adapters: a branch of trained weights beside one that is frozen, W x + B A x, as LoRA adds it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fanin.graph import Graph
from fanin.initializers import Zeros
from fanin.plans.model import Decision

SOURCE: Final = "Hu et al. 2022 (LoRA), §4.1"


def adapters(graph: Graph) -> dict[str, Decision]:
    """The last weight of each → zeros: what was pretrained is not changed before the first step."""
    why = (
        "ends an adapter beside a frozen weight: zeros leave what is pretrained as it is; they open with the first step"
    )
    return dict.fromkeys(_ends(graph), Decision(Zeros(), why, SOURCE))


def _ends(graph: Graph) -> Iterator[str]:
    weights = graph.structure.paths.weights
    for branch in graph.structure.branches:
        beside = [graph.by_path[path] for path in weights.get(branch.skip, ())]
        ends = [graph.by_path[path] for name in branch.last for path in weights[name]]
        if beside and all(p.frozen for p in beside) and len(ends) == 1 and not ends[0].frozen:
            yield ends[0].path
