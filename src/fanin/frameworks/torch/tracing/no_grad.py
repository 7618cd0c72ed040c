"""Parts of a model that run under `torch.no_grad()`, as operations say it: what comes out of them is detached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node


def with_detached(program: ExportedProgram) -> ExportedProgram:
    """The same program, in which gradients end where the model lets them end.

    The exporter keeps such a part as a graph of its own, called with the mode it runs in. Where that graph is merged
    into the rest, the mode is forgotten: so it detaches its results itself.
    """
    for part in _without_gradients(program.graph_module):
        end = part.graph.output_node()
        with part.graph.inserting_before(end):
            results = tuple(_detached(part, each) for each in end.args[0])  # type: ignore[union-attr]
        end.args = (results,)
    return program


def _without_gradients(whole: GraphModule) -> Iterator[GraphModule]:
    for module in whole.modules():
        if isinstance(module, GraphModule):
            for node in module.graph.find_nodes(
                op="call_function", target=torch.ops.higher_order.wrap_with_set_grad_enabled
            ):
                enabled, part, *_ = node.args
                if enabled is False:
                    yield getattr(module, part.target)


def _detached(part: GraphModule, result: Any) -> Any:
    if not (isinstance(result, Node) and isinstance(result.meta.get("val"), torch.Tensor)):
        return result
    made = part.graph.call_function(torch.ops.aten.detach.default, (result,))
    made.meta = dict(result.meta)
    return made
