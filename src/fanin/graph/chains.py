"""Plain chains: weights one behind the other with only an activation in between, no norm and no skip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fanin.graph.layers import NORMS
from fanin.graph.model import ActivationCall, Graph, Node, Role
from fanin.graph.paths import Paths

# What acts on every unit alike and linearly, so that mirrored pairs stay pairs.
_ALIKE: Final = frozenset(
    {
        *("alias", "clone", "contiguous", "dropout", "native_dropout", "to", "_to_copy", "flatten", "view", "reshape"),
        *("squeeze", "unsqueeze", "_unsafe_view", "mean", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
        *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
    }
)
_LAYERS: Final = frozenset({"linear", "conv1d", "conv2d", "conv3d"})


@dataclass(frozen=True)
class Link:
    """A weight of a plain chain.

    Attributes:
        weight: the parameter's path.
        before: the activation between the weight before and this one; None for the first of the chain.
        behind: the activation between this weight and the next; None for the last.
        depth: the activations of the chain.
    """

    weight: str
    before: ActivationCall | None
    behind: ActivationCall | None
    depth: int


def links(graph: Graph) -> dict[str, Link]:
    """Weight → its place in a plain chain, for every weight that has one activation before or behind it.

    A chain holds dense layers and convolutions of one group, each weight used once and not frozen. It ends where a
    signal is used twice, meets another, or is normalised.

    Example: of `linear → relu → linear → relu → linear` the three weights are links of a chain of depth 2.
    """
    paths = graph.paths
    owners = _owners(paths)
    behind: dict[str, tuple[str, ActivationCall]] = {}
    for name in owners:
        if (found := _next(paths, name)) is not None and found[0] in owners:
            behind[name] = found
    firsts = owners.keys() - {name for name, _ in behind.values()}
    result: dict[str, Link] = {}
    for first in sorted(firsts, key=paths.position.__getitem__):
        chain, acts = [first], list[ActivationCall]()
        while chain[-1] in behind:
            name, act = behind[chain[-1]]
            chain.append(name)
            acts.append(act)
        for i, name in enumerate(chain):
            before, after = (acts[i - 1] if i else None), (acts[i] if i < len(acts) else None)
            result[owners[name]] = Link(owners[name], before, after, len(acts))
    return {path: link for path, link in result.items() if link.depth}


def _owners(paths: Paths) -> dict[str, str]:
    """Operation → its one weight, where only this operation uses it."""
    uses: dict[str, int] = {}
    for read in paths.weights.values():
        for path in read:
            uses[path] = uses.get(path, 0) + 1
    by_path = paths.graph.by_path

    def plain(node: Node, read: tuple[str, ...]) -> Iterator[str]:
        if node.op in _LAYERS and len(read) == 1 and node.arguments.get("groups", 1) == 1 and uses[read[0]] == 1:
            p = by_path[read[0]]
            if p.role is Role.WEIGHT and p.path in node.inputs and not (p.parts or p.also or p.frozen):
                yield p.path

    return {node.name: path for node in paths.graph.nodes for path in plain(node, paths.weights.get(node.name, ()))}


def _next(paths: Paths, start: str) -> tuple[str, ActivationCall] | None:
    """The next operation with a weight, through exactly one activation and what acts on every unit alike."""
    name, act = start, None
    while True:
        users = paths.graph.users.get(name, ())
        if len(users) != 1 or len(paths.sources[users[0].name]) != 1:
            return None
        (node,) = users
        if node.name in paths.weights:
            return None if act is None else (node.name, act)
        if node.activation is not None and act is None:
            act = node.activation
        elif node.op not in _ALIKE or node.op in NORMS:
            return None
        name = node.name
