"""What a graph's operations form together: paths, attentions, residual branches; found once for each graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fanin.graph.attention import Attention, attentions
from fanin.graph.paths import Paths
from fanin.graph.residual import ResidualBranch, residual_branches

if TYPE_CHECKING:
    from fanin.graph.model import Graph


@dataclass(frozen=True)
class Structure:
    """Of one graph.

    Attributes:
        routers: weights whose results say which experts are asked.
        branches: in the order in which they are added to their streams.
    """

    paths: Paths
    attentions: tuple[Attention, ...]
    routers: tuple[str, ...]
    branches: tuple[ResidualBranch, ...]


def structure_of(graph: Graph) -> Structure:
    """Ask `Graph.structure`, which remembers it."""
    paths = graph.paths
    attended, routers = attentions(paths), tuple(_routers(paths))
    return Structure(paths, attended, routers, residual_branches(paths, attended, routers))


def _routers(paths: Paths) -> Iterator[str]:
    """The weights whose results say which experts are asked: the largest of them are chosen."""
    for node in paths.graph.nodes:
        if node.op == "topk" and (sources := paths.sources[node.name]):
            weight = paths.to_weight(sources[0])
            yield from paths.weights[weight[-1]] if weight else ()
