"""What a loop's arguments are made of, where several are made of one signal.

The step, the gate in and the gate out of a selective scan are linear in the signal that drives it. Each has moments of
its own; their product has not those of independent factors, as all of them grow with the norm of that signal. So what
lies between two arguments of a loop is run with it.

Reference: Gu & Dao 2023, algorithm 2 (the selective scan).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from fanin.graph import Graph, Node

WEIGHED: Final = frozenset({"linear", "addmm", "mm", "matmul"})
SPLITS: Final = frozenset({"split", "split_with_sizes", "chunk"})
FURTHEST: Final = 12  # operations from one argument to another


def between(graph: Graph, members: Collection[str], moved: Collection[str]) -> frozenset[str]:
    """Nodes on the way from one argument of a loop to another, through weights and what `moved` names.

    Args:
        members: names of the loop's nodes.
        moved: operations that move elements, or make them from elements at the same place.
    """
    arguments = {n for name in members for n in graph.by_name[name].inputs if n in graph.by_name and n not in members}
    found: set[str] = set()
    for name in arguments:
        for way in _ways(graph, graph.by_name[name], arguments, frozenset(moved), ()):
            found.update(way)
    return frozenset(found)


def _ways(
    graph: Graph, node: Node, arguments: Collection[str], moved: frozenset[str], behind: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    """The nodes from one back to another argument, each way there is; without that argument itself."""
    if len(behind) == FURTHEST or not _passes(node, moved):
        return
    way = (*behind, node.name)
    for name in node.inputs:
        if name in arguments:
            yield way
        if name in graph.by_name:
            yield from _ways(graph, graph.by_name[name], arguments, moved, way)


def _passes(node: Node, moved: frozenset[str]) -> bool:
    return node.activation is not None or node.op in WEIGHED or node.op in SPLITS or node.op in moved
