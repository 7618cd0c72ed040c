"""Attention: which operations make queries, keys and values, found by what a softmax weighs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fanin.graph.model import Node, Ref
from fanin.graph.paths import Paths

SOFTMAX: Final = frozenset({"softmax", "_softmax", "_safe_softmax"})
PRODUCTS: Final = frozenset({"matmul", "mm", "bmm", "baddbmm", "einsum"})
FUSED: Final = frozenset({"scaled_dot_product_attention"})


@dataclass(frozen=True)
class Attention:
    """One attention: the operations that give its output, make its queries, keys and values, and take the softmax."""

    output: str
    query: str
    key: str
    value: str
    softmax: str


def attentions(paths: Paths) -> tuple[Attention, ...]:
    """Every attention of a graph, one fused operation or written out as softmax(Q Kᵀ) V."""
    return tuple(found for node in paths.graph.nodes for found in _at(paths, node))


def logit_scale(paths: Paths, attention: Attention) -> float | None:
    """By what numbers the product of queries and keys is multiplied on the way to the softmax; None where not known.

    Those between the weight that makes queries, or keys, and the product count too.
    """
    softmax = paths.graph.by_name[attention.softmax]
    if softmax.op in FUSED:
        given, width = softmax.arguments.get("scale"), paths.graph.by_name[attention.query].shape[-1]
        scale = float(given) if isinstance(given, int | float) else width**-0.5
    else:
        product = _scores(paths, softmax)
        between = _numbers(paths, softmax.name, product) if product else None
        if between is None:
            return None
        scale = between
    for end in (attention.query, attention.key):
        made = _numbers(paths, end, None)
        if made is None:
            return None
        scale *= made
    return scale


def _numbers(paths: Paths, start: str, end: str | None) -> float | None:
    """The product of the numbers that a signal is multiplied by before `start`, from `end`, or from a weight, on."""
    scale, name = 1.0, start
    while name != end and name not in paths.weights:
        node, sources = paths.node(name), paths.sources[name]
        if node is None:
            return scale  # an input
        other = node.arguments.get("other")
        if node.op in {"mul", "div"}:
            if not isinstance(other, int | float) or not other:
                return None  # a temperature that is learned, say
            scale *= other if node.op == "mul" else 1 / other
        onward = [source for source in sources if end is None or paths.depends(source, end)]
        if len(onward) != 1:
            return scale if end is None else None
        name = onward[0]
    return scale


def _at(paths: Paths, node: Node) -> Iterator[Attention]:
    if node.op in FUSED:
        ends = [node.arguments.get(name) for name in ("query", "key", "value")]
        if all(isinstance(end, Ref) and end.name in paths.position for end in ends):
            query, key, value = (end.name for end in ends if isinstance(end, Ref))
            yield Attention(node.name, query, key, value, node.name)
    elif node.op in SOFTMAX and (scores := _scores(paths, node)) is not None:
        query, key = paths.sources[scores]
        for weighed in _weighed(paths, node):
            others = [name for name in paths.sources[weighed] if not paths.depends(name, node.name)]
            if len(others) == 1:
                yield Attention(weighed, query, key, others[0], node.name)


def _scores(paths: Paths, softmax: Node) -> str | None:
    """The product of two signals whose result, scaled, masked and with what is added, the softmax takes."""
    pending = list(paths.sources[softmax.name])
    while pending:
        name = pending.pop(0)
        node = paths.node(name)
        if node is None or name in paths.weights:
            continue
        if node.op in PRODUCTS and len(paths.sources[name]) == 2:
            return name
        pending.extend(paths.sources[name])
        if len(pending) > FURTHEST:
            return None
    return None


FURTHEST: Final = 16  # operations side by side between scores and softmax; beyond, it is something else


def _weighed(paths: Paths, softmax: Node) -> Iterator[str]:
    """The products that the weights enter, seen through dropout, casts and views."""
    pending = list(paths.graph.users.get(softmax.name, ()))
    seen: set[str] = set()
    while pending:
        node = pending.pop()
        if node.name in seen or node.name in paths.weights:
            continue
        seen.add(node.name)
        if node.op in PRODUCTS and len(paths.sources[node.name]) == 2:
            yield node.name
        elif len(paths.sources[node.name]) == 1:
            pending.extend(paths.graph.users.get(node.name, ()))
