"""Residual branches: what is added to a stream that goes on beside it, x + f(x)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fanin.graph.attention import SOFTMAX, Attention
from fanin.graph.model import Node
from fanin.graph.paths import Paths

# Operations in which the result is linear in the first input, or in each: where a branch may end behind a weight.
COMBINE: Final = frozenset(
    {
        *("cat", "stack", "where", "masked_fill", "index", "index_select", "gather", "index_put", "index_add"),
        *("scatter", "scatter_add", "scatter_reduce", "slice_scatter", "add"),
    }
)
# Operations of one input behind which nothing is linear in it any more; activations are not among them.
BENT: Final = frozenset(
    {
        *("exp", "expm1", "log", "log1p", "pow", "sqrt", "rsqrt", "reciprocal", "square", "cumprod", "sigmoid"),
        *("topk", "sort", "argsort", "argmax", "max", "amax", "min", "amin", "logsumexp", "one_hot", *SOFTMAX),
    }
)
# Their inputs are numbers of rows, and no stream.
LOOKUPS: Final = frozenset({"embedding", "embedding_bag", "_embedding_bag"})


@dataclass(frozen=True)
class ResidualBranch:
    """One addition of a branch to a stream.

    Attributes:
        add: the addition.
        fork: where the branch leaves the stream; the graph input, where it is that.
        skip, end: the inputs of the addition: the stream, and the branch's last operation.
        last: the operations whose weights are the last of the branch.
        members: the operations of the branch, as bits of `Paths`.
        stream: branches of one stream have one number.
    """

    add: str
    fork: str
    skip: str
    end: str
    last: tuple[str, ...]
    members: int
    stream: int


def residual_branches(
    paths: Paths, attentions: Sequence[Attention] = (), routers: Collection[str] = ()
) -> tuple[ResidualBranch, ...]:
    """Every branch, in the order of the additions.

    The skip may pass operations without weights, or one projection. The branch must have weights, and end behind one:
    in between are only operations that are linear in it, an activation, or the attention that weighs it.

    Args:
        routers: weights that choose experts; they are never a branch's last.
    """
    values = {a.output: a.value for a in attentions}
    routing = {name for name, read in paths.weights.items() if not set(read).isdisjoint(routers)}
    found: list[ResidualBranch] = []
    streams: dict[str, int] = {}
    for node in paths.graph.nodes:
        branch = (
            _branch(paths, node, values, routing) if node.op == "add" and len(paths.sources[node.name]) == 2 else None
        )
        if branch is None:
            continue
        fork, skip, end, last = branch
        stream = _stream(paths, skip, streams)
        streams[node.name] = stream
        members = paths.between(fork, end) & ~(1 << paths.position[fork])
        found.append(ResidualBranch(node.name, fork, skip, end, last, members, stream))
    return tuple(found)


def _branch(
    paths: Paths, node: Node, values: Mapping[str, str], routing: Collection[str]
) -> tuple[str, str, str, tuple[str, ...]] | None:
    """Fork, skip, end and the last operations with weights; None for an addition of another kind."""
    a, b = paths.sources[node.name]
    for most_projections in (0, 1):
        for skip, end in ((a, b), (b, a)):
            fork = _fork(paths, skip, end, most_projections)
            if fork is not None and (found := _last(paths, end, fork, values)):
                last = tuple(name for name in found if name not in routing)
                return (fork, skip, end, last) if last else None
    return None


def _fork(paths: Paths, skip: str, end: str, most_projections: int) -> str | None:
    """The latest point of the stream from which the branch is computed, through at least one weight."""
    seen = _stream_behind(paths, skip, most_projections)
    common = [name for name in seen if paths.depends(end, name) and name != end]
    if not common:
        return None
    fork = max(common, key=paths.position.__getitem__)
    own = paths.between(fork, end) & ~(1 << paths.position[fork]) & paths.with_weights
    if not own:
        return None
    if most_projections and own.bit_count() < 2:  # W x + U x: neither is a shortcut of the other
        return None
    return fork


def _stream_behind(paths: Paths, skip: str, most_projections: int) -> dict[str, None]:
    """The points that a signal passes before `skip`, without weights but for so many projections."""
    seen: dict[str, None] = {}
    pending = [(skip, most_projections)]
    while pending:
        name, left = pending.pop()
        if name in seen:
            continue
        seen[name] = None
        node = paths.node(name)
        if node is None:
            continue
        sources = paths.sources[name]
        if name in paths.weights:
            if left and len(sources) == 1 and node.op not in LOOKUPS:
                pending.append((sources[0], left - 1))
        elif node.op == "add" or (len(sources) == 1 and node.activation is None):
            pending.extend((source, left) for source in sources)
    return seen


def _last(paths: Paths, end: str, fork: str, values: Mapping[str, str]) -> tuple[str, ...]:
    """The operations with weights behind which the branch ends; none if it reaches the fork beside them."""

    def onward(name: str) -> Sequence[str]:
        node = paths.node(name)
        if node is None or name == fork or name in paths.weights:
            return ()
        if name in values:
            return (values[name],)
        sources = paths.sources[name]
        if node.op in BENT:
            return ()
        if len(sources) == 1 or node.op in COMBINE:
            return sources
        if node.op in {"mul", "div"}:
            return [source for source in sources if _is_signal(paths, source, node)]
        return ()

    seen = paths.back(end, onward)
    if fork in seen:
        return ()
    return tuple(sorted((name for name in seen if name in paths.weights), key=paths.position.__getitem__))


def _is_signal(paths: Paths, name: str, product: Node) -> bool:
    """Of a signal and its gate, the signal has the product's shape, and the gate may be computed from it."""
    node = paths.node(name)
    if node is None or node.shape != product.shape:
        return False
    others = [other for other in paths.sources[product.name] if other != name]
    full = [o for o in others if (n := paths.node(o)) is not None and n.shape == product.shape]
    return not any(paths.depends(name, other) for other in full)


def _stream(paths: Paths, skip: str, streams: dict[str, int]) -> int:
    """That of the last addition on the skip, seen through operations of one input and projections; else a new one."""
    name = skip
    while name not in streams:
        sources = paths.sources[name]
        if len(sources) != 1:
            return max(streams.values(), default=-1) + 1
        name = sources[0]
    return streams[name]
