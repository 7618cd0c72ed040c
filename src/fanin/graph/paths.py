"""Paths through a graph: which operation depends on which, and where a walk against the flow first meets a weight."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

from fanin.graph.model import Graph, Node, Role

WEIGHTS = frozenset({Role.WEIGHT, Role.RECURRENT})
Inputs = Sequence[str]


class Paths:
    """A graph's nodes and inputs in the order they run, with what depends on what as sets of bits.

    Attributes:
        sources: node → the signals that it reads: nodes and graph inputs, but for what parameters alone make.
        weights: node → the weights and embedding tables that it reads, as they are or as other operations made them.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        inputs = [i.name for i in graph.inputs] or _read_only(graph)
        names = [*inputs, *(n.name for n in graph.nodes)]
        self.position = {name: i for i, name in enumerate(names)}
        self.names = names
        self.sources: dict[str, tuple[str, ...]] = dict.fromkeys(inputs, ())
        self.weights: dict[str, tuple[str, ...]] = {}
        made: dict[str, tuple[str, ...]] = {}  # what no signal takes part in → the parameters that do
        for node in graph.nodes:
            direct = [graph.by_path[n] for n in node.inputs if n in graph.by_path]
            read = [p.path for p in direct] + [path for name in node.inputs for path in made.get(name, ())]
            self.sources[node.name] = tuple(
                dict.fromkeys(n for n in node.inputs if n in self.position and n not in made)
            )
            tables = [p.path for p in direct if p.role is Role.EMBEDDING]
            weights = [path for path in read if graph.by_path[path].role in WEIGHTS]
            if not self.sources[node.name]:
                made[node.name] = tuple(dict.fromkeys(read))
                weights = []
            if own := tuple(dict.fromkeys(tables + weights)):
                self.weights[node.name] = own

    @cached_property
    def before(self) -> Mapping[str, int]:
        """Node → itself and all that it depends on, as bits by position."""
        found: dict[str, int] = {}
        for name in self.names:
            bits = 1 << self.position[name]
            for source in self.sources[name]:
                bits |= found[source]
            found[name] = bits
        return found

    @cached_property
    def after(self) -> Mapping[str, int]:
        """Node → itself and all that depends on it, as bits by position."""
        found = {name: 1 << i for name, i in self.position.items()}
        for name in reversed(self.names):
            for source in self.sources[name]:
                found[source] |= found[name]
        return found

    def depends(self, later: str, earlier: str) -> bool:
        """Whether `later` is `earlier`, or is computed from it."""
        return bool(self.before[later] >> self.position[earlier] & 1)

    def between(self, earlier: str, later: str) -> int:
        """Those that depend on `earlier` and that `later` depends on, both ends included."""
        return self.after[earlier] & self.before[later]

    @cached_property
    def with_weights(self) -> int:
        """The nodes that read a weight or a table."""
        return sum(1 << self.position[name] for name in self.weights)

    def nodes_in(self, bits: int) -> Iterator[str]:
        """The names of a set, in the order they run."""
        while bits:
            lowest = bits & -bits
            yield self.names[lowest.bit_length() - 1]
            bits ^= lowest

    def back(self, start: str, onward: Callable[[str], Inputs]) -> dict[str, None]:
        """All that a walk against the flow from `start` visits; `onward` says where it goes from a node."""
        seen: dict[str, None] = {}
        pending = [start]
        while pending:
            name = pending.pop()
            if name not in seen:
                seen[name] = None
                pending.extend(onward(name))
        return seen

    def to_weight(self, name: str) -> list[str]:
        """From here against the flow, through operations of one input, to the first with a weight; or []."""
        chain = [name]
        while chain[-1] not in self.weights:
            if len(self.sources[chain[-1]]) != 1:
                return []
            chain.append(self.sources[chain[-1]][0])
        return chain

    def node(self, name: str) -> Node | None:
        """The operation of that name; None for a graph input."""
        return self.graph.by_name.get(name)


def _read_only(graph: Graph) -> list[str]:
    """What nobody makes, in a graph that does not say its inputs."""
    known = {n.name for n in graph.nodes} | graph.by_path.keys()
    return list(dict.fromkeys(name for node in graph.nodes for name in node.inputs if name not in known))
