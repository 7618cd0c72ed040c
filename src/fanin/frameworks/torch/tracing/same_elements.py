"""Views and copies: operations whose result need not be measured again."""

from __future__ import annotations

import operator
from collections.abc import Mapping

from torch.fx.node import Node as FxNode

from fanin.graph import Node
from fanin.graph.layers import REARRANGES


def same_elements(n: FxNode, recorded: Mapping[str, Node]) -> tuple[str, dict[str, str]]:
    """The node of which this one has the elements, in whatever order; "" where there is none.

    And of the two, if they have one gradient, the node that it reaches later → the one that it reaches earlier.
    """
    source = n.args[0] if n.args else None
    if not isinstance(source, FxNode) or source.name not in recorded:
        return "", {}
    if n.target is operator.getitem and n.args[1] == 0:  # the first of several results, which stands for all
        return source.name, {n.name: source.name}
    if recorded[n.name].op in REARRANGES:
        return source.name, {source.name: n.name} if len(source.users) == 1 else {}
    return "", {}
