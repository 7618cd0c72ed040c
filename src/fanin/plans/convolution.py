"""What a rule asks of a convolution's weight."""

from __future__ import annotations

from fanin.graph import Graph, Parameter


def is_convolution(graph: Graph, p: Parameter) -> bool:
    """Whether a convolution, transposed or not, is the first to read the weight."""
    node = graph.by_name.get(p.node or "")
    return node is not None and node.op.startswith("conv") and len(p.shape) > 2


def groups_of(graph: Graph, p: Parameter) -> int:
    """Of the convolution that reads the weight; 1 for others."""
    node = graph.by_name.get(p.node or "")
    groups = node.arguments.get("groups", 1) if node else 1
    return groups if isinstance(groups, int) else 1
