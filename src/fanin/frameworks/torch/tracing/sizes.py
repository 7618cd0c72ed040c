"""Numbers in place of sizes that only values decide, as of x[x > 0]: those that one run on the example has.

On the meta device there are no values: there, all elements count as chosen.
"""

from __future__ import annotations

from typing import Any

import sympy  # type: ignore[import-untyped]
import torch
from torch.fx.node import Node as FxNode
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

from fanin.errors import CannotTrace
from fanin.frameworks.torch.model.call import Call
from fanin.frameworks.torch.model.failure import line_in

_SYMBOLS = (torch.SymInt, torch.SymFloat, torch.SymBool)


def with_sizes(program: torch.export.ExportedProgram, model: torch.nn.Module, call: Call) -> str:
    """Write numbers into the program's metadata; gives a note on where they are from, "" if there was nothing to do.

    Raises:
        CannotTrace: a size is a number that is read from a tensor, and the model is on the meta device.
    """
    symbolic = [fx for fx in program.graph.nodes if _symbols(fx)]
    if not symbolic:
        return ""
    lines = dict.fromkeys(line_in(fx.meta.get("stack_trace") or "") for fx in symbolic if _decides(fx))
    at = ", ".join(filter(None, lines)) or "a line that is not known"
    inputs = _inputs(program, model, call)
    if any(x.is_meta for x in inputs if isinstance(x, torch.Tensor)):
        _all_chosen(symbolic, type(model).__name__, at)
        return f"the sizes of tensors at {at} depend on values, and are those that they would have if all were chosen"
    with torch.no_grad():
        _Sizes(program.graph_module, {fx.name for fx in symbolic}).run(*inputs)
    return f"the sizes of tensors at {at} depend on values, and are those of the example"


def _all_chosen(symbolic: list[FxNode], name: str, at: str) -> None:
    """Each size that values decide is that of the tensor that was chosen from."""
    known: dict[Any, Any] = {}

    def number(n: Any) -> Any:
        if not isinstance(n, _SYMBOLS):
            return n
        found = n.node.expr.xreplace(known)
        if found.free_symbols:
            raise CannotTrace(
                f"The sizes of tensors in {name} are numbers that it reads from tensors, at {at}, and on the meta "
                "device these have no values. Trace the model with values."
            )
        return bool(found) if isinstance(n, torch.SymBool) else int(found)

    def sized(x: Any) -> Any:
        if isinstance(x, torch.Tensor):
            return torch.empty([number(n) for n in x.shape], dtype=x.dtype, device="meta")
        return number(x)

    for fx in symbolic:
        if torch.Tag.dynamic_output_shape in getattr(fx.target, "tags", ()):
            chosen_from = sympy.Integer(fx.all_input_nodes[0].meta["val"].numel())
            known |= dict.fromkeys(_symbols(fx) - known.keys(), chosen_from)
        fx.meta["val"] = tree_map(sized, fx.meta["val"])


class _Sizes(torch.fx.Interpreter):
    def __init__(self, module: torch.fx.GraphModule, symbolic: set[str]) -> None:
        super().__init__(module)
        self.extra_traceback = False
        self._symbolic = symbolic

    def run_node(self, n: FxNode) -> Any:
        result = super().run_node(n)
        if n.name in self._symbolic:
            n.meta["val"] = tree_map_only(torch.Tensor, lambda x: torch.empty_like(x, device="meta"), result)
        return result


def _decides(fx: FxNode) -> bool:
    """Whether a size first appears here, out of values."""
    return bool(_symbols(fx) - {symbol for i in fx.all_input_nodes for symbol in _symbols(i)})


def _symbols(fx: FxNode) -> set[Any]:
    leaves = tree_leaves(fx.meta.get("val"))
    numbers = [n for x in leaves for n in (x.shape if isinstance(x, torch.Tensor) else (x,)) if isinstance(n, _SYMBOLS)]
    return {symbol for n in numbers for symbol in n.node.expr.free_symbols}


def _inputs(program: torch.export.ExportedProgram, model: torch.nn.Module, call: Call) -> list[Any]:
    """In the program's order; buffers are copies, since they may be written."""
    kinds = torch.export.graph_signature.InputKind
    given = iter(call.leaves)
    found: list[Any] = []
    for spec in program.graph_signature.input_specs:
        name = str(spec.target)
        if spec.kind is kinds.USER_INPUT:
            found.append(next(given))
        elif spec.kind is kinds.PARAMETER:
            found.append(model.get_parameter(name).detach())
        elif spec.kind is kinds.BUFFER:
            found.append(model.get_buffer(name).detach().clone())
        else:
            found.append(program.constants[name])
    return found
