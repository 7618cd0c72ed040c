"""Loops over positions that are written out in a graph: a selective scan, a cell that is applied step by step.

A rule sees one operation, and takes its operands for independent unless they are functions of one latent. In a loop
the operands of every step are made of the same tensors: the decay of a unit is slow at all steps or at none, and what
drives it is alike from step to step. So a loop is found as a whole, and run as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple, TypeAlias

from fanin.graph import Graph, Node, Ref
from fanin.signals.flow import Gradient
from fanin.signals.loop_sources import between
from fanin.signals.values import Value, WeightGradient

FEWEST: Final = 3  # steps that make a loop
MARK: Final = "a loop over positions was run as a whole on a sample"
JOINS: Final = frozenset({"stack", "cat"})
PIECES: Final = frozenset({"select"})
# What moves elements, and what makes them from elements at the same place: no weights, so no new latents.
IN_PLACE: Final = frozenset(
    {
        *("add", "sub", "rsub", "mul", "div", "neg", "exp", "log", "sqrt", "rsqrt", "square", "pow", "abs", "clamp"),
        *("maximum", "minimum", "where", "lerp", "addcmul", "reciprocal", "log1p", "expm1"),
        *("unsqueeze", "squeeze", "view", "reshape", "permute", "transpose", "expand", "select", "slice"),
        *("clone", "alias", "contiguous", "to", "_to_copy", "zeros_like", "ones_like", "full_like"),
    }
)
RESULTS: Final = frozenset({"getitem"})  # one of several, which those that use it name at its source
SUMS: Final = frozenset({"sum", "mean", "matmul", "bmm"})

Source: TypeAlias = "tuple[str, int]"  # a node, an input or a parameter, and which of its results


@dataclass(frozen=True, eq=False)
class Loop:
    """Nodes that are to be run together, in order.

    Attributes:
        sources: names of those that make one of its arguments from another, with weights, and are run with it.
    """

    nodes: tuple[Node, ...]
    sources: frozenset[str] = frozenset()

    @cached_property
    def names(self) -> frozenset[str]:
        """Of the nodes."""
        return frozenset(node.name for node in self.nodes)

    @cached_property
    def results(self) -> frozenset[str]:
        """Names of all that its nodes make."""
        return frozenset(name for node in self.nodes for name in results_of(node))

    @property
    def last(self) -> str:
        """The node behind which all is known."""
        return self.nodes[-1].name

    @cached_property
    def arguments(self) -> dict[str, Ref]:
        """The tensors that come from outside, each under a name of its own."""
        found: dict[str, Ref] = {}
        for node in self.nodes:
            for _, ref in tensors_of(node):
                if ref.name not in self.names:
                    found.setdefault(label(ref), ref)
        return found


class Joint(NamedTuple):
    """What came of running a loop as a whole.

    Attributes:
        values: of its nodes, in the place of what rules said of each; of its sources the rules' hold.
        pull: from the gradients that reach results of its nodes from outside, to all of those and to its arguments.
    """

    values: Mapping[str, Value]
    pull: Callable[[Mapping[str, Gradient]], Returned]


class Returned(NamedTuple):
    """The gradients of the results of a loop's nodes, by name, and of its arguments, each with its source."""

    inside: Mapping[str, Gradient]
    outside: Sequence[tuple[Ref, Gradient | WeightGradient]]


RunLoop: TypeAlias = Callable[[Loop, Mapping[str, Value], Mapping[str, Value]], "Joint | None"]
"""Given a loop, its arguments by label and what rules say of its nodes; None where it cannot be run."""


def result_name(ref: Ref) -> str:
    """Of one of a node's results: the node's for the first."""
    return ref.name if ref.result == 0 else f"{ref.name}#{ref.result}"


def results_of(node: Node) -> tuple[str, ...]:
    """The names of all of a node's results."""
    return (node.name, *(f"{node.name}#{at}" for at in range(1, len(node.shapes))))


def label(ref: Ref) -> str:
    """One for each tensor as it is seen: a parameter may be seen through several views."""
    return f"{ref.name}#{ref.result}{list(ref.shape)}{ref.rows or ''}"


def tensors_of(node: Node) -> Iterator[tuple[str, Ref]]:
    """A node's tensor arguments by name; those in lists as "tensors.0", …."""
    for name, argument in node.arguments.items():
        if isinstance(argument, Ref):
            yield name, argument
        elif isinstance(argument, (list, tuple)):
            for at, each in enumerate(argument):
                if isinstance(each, Ref):
                    yield f"{name}.{at}", each


def loops(graph: Graph) -> tuple[Loop, ...]:
    """Those of a graph, in order.

    A loop has three or more pieces of one axis of a tensor, a node that is made of several of them otherwise than by
    laying them side by side, and an end, where the steps are laid side by side. What the pieces are cut from belongs to
    it as far as it is made element by element, and with weights where it is made of another of its arguments.
    """
    pieces = _pieces(graph)
    if not pieces:
        return ()
    inside = _made_of(graph, pieces)
    found = []
    for group in _connected(graph, inside):
        steps = {pieces[name] for name in group if name in pieces}
        recurs = any(len(inside[name]) > 1 and graph.by_name[name].op not in JOINS for name in group)
        ends = any(graph.by_name[name].op in JOINS for name in group)
        if recurs and ends and len(steps) >= FEWEST:
            found.append(_whole(graph, group))
    return tuple(sorted((loop for loop in found if loop), key=lambda loop: _order(graph)[loop.last]))


def _order(graph: Graph) -> dict[str, int]:
    return {node.name: at for at, node in enumerate(graph.nodes)}


def _pieces(graph: Graph) -> dict[str, int]:
    """Nodes that take one entry of an axis of which others take other entries, and which entry that is."""
    entries: dict[tuple[str, int, int], dict[str, int]] = {}
    for node in graph.nodes:
        ref = node.arguments.get("self")
        if node.op in PIECES and isinstance(ref, Ref) and ref.name in graph.by_name:
            rank = len(graph.by_name[ref.name].shapes[ref.result])
            at = (ref.name, ref.result, int(node.arguments.get("dim", 0)) % max(rank, 1))
            entries.setdefault(at, {})[node.name] = int(node.arguments.get("index", 0))
    steps = [of for of in entries.values() if len(set(of.values())) >= FEWEST]
    return {name: index for of in steps for name, index in of.items()}


def _made_of(graph: Graph, pieces: Mapping[str, int]) -> dict[str, frozenset[int]]:
    """Nodes that come from pieces without weights, up to where those are laid side by side; and from which pieces."""
    inside: dict[str, frozenset[int]] = {}
    for node in graph.nodes:
        if node.name in pieces:
            inside[node.name] = frozenset({pieces[node.name]})
        elif _follows(graph, node):
            behind = [inside[name] for name in node.inputs if name in inside and graph.by_name[name].op not in JOINS]
            if behind:
                inside[node.name] = frozenset().union(*behind)
    return inside


def _follows(graph: Graph, node: Node) -> bool:
    if len(node.shapes) > 1 or (node.op in SUMS and any(name in graph.by_path for name in node.inputs)):
        return False
    return node.activation is not None or node.op in IN_PLACE or node.op in SUMS or node.op in JOINS


def _connected(graph: Graph, inside: Mapping[str, object]) -> list[set[str]]:
    """Groups of nodes that hang together; what lies behind an end is of another group."""
    group: dict[str, set[str]] = {}
    for node in graph.nodes:
        if node.name not in inside:
            continue
        own = {node.name}
        for name in node.inputs:
            if name in group and graph.by_name[name].op not in JOINS:
                own |= group[name]
        for name in own:
            group[name] = own
    unique = {id(of): of for of in group.values()}
    return list(unique.values())


def _whole(graph: Graph, group: set[str]) -> Loop | None:
    """With what its pieces are cut from; None where something outside needs its nodes before its end."""
    order = _order(graph)
    end = max(order[name] for name in group)
    members, outputs = set(group), {ref.name for ref in graph.outputs}

    def early(name: str) -> bool:
        """Whether something outside reads it before the end of the loop."""
        users = [user for user in graph.users.get(name, ()) if user.op not in RESULTS]
        return any(user.name not in members and order[user.name] < end for user in users)

    for node in reversed(graph.nodes[: end + 1]):
        made = node.op in IN_PLACE and node.op not in PIECES and len(node.shapes) <= 1
        read = any(user.name in members for user in graph.users.get(node.name, ()))
        if made and read and node.name not in outputs and not early(node.name):
            members.add(node.name)
    if any(early(name) for name in members):
        return None
    sources = between(graph, members, IN_PLACE | SUMS) - outputs
    members |= sources
    if any(early(name) for name in sources):
        members, sources = members - sources, frozenset()
    return Loop(tuple(node for node in graph.nodes if node.name in members), sources)
