"""Tables whose rows are multiplied to make the output, as in matrix factorization: Σ_d u_d v_d, the score of a pair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fanin.graph import Graph, Role
from fanin.graph.layers import NORMS
from fanin.graph.model import Node
from fanin.graph.paths import Paths
from fanin.initializers import Normal
from fanin.plans.model import Decision
from fanin.plans.tuned import LOGITS

PRODUCTS: Final = frozenset({"mul", "bmm", "matmul", "mm", "einsum", "linalg_vecdot"})
SOURCE: Final = "E (Σ u v)² = d E u² E v²; Koren, Bell & Volinsky 2009, eq. 1"


def factors(graph: Graph) -> dict[str, Decision]:
    """Table → rows so small that the scores of pairs have a second moment of ¼, as other readouts have."""
    found: dict[str, Decision] = {}
    paths = graph.structure.paths
    for node in graph.nodes:
        tables = [path for name in paths.sources[node.name] for path in _looked_up(paths, name)]
        if node.op in PRODUCTS and len(tables) > 1 and _makes_the_output(paths, node):
            width = graph.by_path[tables[0]].shape[-1]
            std = (LOGITS / width) ** 0.25
            why = f"products of {width} of its entries make the output: std (¼/{width})^¼, so that those have E z² = ¼"
            found |= dict.fromkeys(tables, Decision(Normal(std=std), why, SOURCE))
    return found


def _looked_up(paths: Paths, name: str) -> Iterator[str]:
    """The table whose rows these are, as large as they are in it: not behind a norm or an activation."""
    behind = paths.to_weight(name)
    if behind and not any((n := paths.node(step)) and (n.activation or n.op in NORMS) for step in behind):
        yield from (path for path in paths.weights[behind[-1]] if paths.graph.by_path[path].role is Role.EMBEDDING)


def _makes_the_output(paths: Paths, product: Node) -> bool:
    """Whether the scores reach an output without meeting a weight."""
    outputs = {ref.name for ref in paths.graph.outputs}
    pending, seen = [product.name], set[str]()
    while pending:
        name = pending.pop()
        if name in outputs:
            return True
        seen.add(name)
        users = paths.graph.users.get(name, ())
        pending.extend(user.name for user in users if user.name not in paths.weights and user.name not in seen)
    return False
