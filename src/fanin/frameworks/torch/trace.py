"""From a module and an example to a `Graph`, by `torch.export`; no weight is copied and nothing is computed."""

from __future__ import annotations

import operator
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.fx.node import Node as FxNode

from fanin.errors import BadInput, NoParameters
from fanin.frameworks.torch.failure import explain
from fanin.frameworks.torch.names import logical, named_parameters
from fanin.frameworks.torch.operations import ACTIVATIONS, GATES, SLOTS, Slot, arguments_of, recurrent_slot
from fanin.frameworks.torch.state import undisturbed
from fanin.graph import Graph, Node, Parameter, Role, fans

# Views through which a parameter is still seen as itself, with its last two axes swapped or not.
_SWAPS = {"t": True, "numpy_T": True, "mT": True, "alias": False, "to": False, "_to_copy": False, "contiguous": False}


@dataclass(frozen=True)
class Traced:
    """A module's graph together with the program that can be run node by node."""

    graph: Graph
    program: torch.export.ExportedProgram
    names: dict[str, str]  # FX node → the name by which the graph calls it: itself, or a parameter's path


def trace(model: torch.nn.Module, *example: Any) -> Traced:
    """Record the operations of one call of `model(*example)`, in the mode that the model is in.

    Raises:
        BadInput: not a module, or no example was given.
        NoParameters: the model has none.
        ShapeMismatch: the example does not fit; the message names the layer, expected and got.
        CannotTrace: the forward pass cannot be recorded; the message names the line.
    """
    if not isinstance(model, torch.nn.Module):
        raise BadInput(f"Expected a torch.nn.Module; got {type(model).__name__}.")
    if not example:
        raise BadInput("An example input is needed to see what the model does: pass one batch, plan(model, x).")
    parameters = named_parameters(model)
    if not parameters:
        raise NoParameters(f"{type(model).__name__} has no parameters: there is nothing to initialize.")
    with undisturbed(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own notices concern its developers
        try:
            program = torch.export.export(model, example, strict=False).run_decompositions({})
        except Exception as error:  # whatever the user's forward raises is explained and re-raised
            raise explain(error, model, example) from error
    return _read(model, program)


def _read(model: torch.nn.Module, program: torch.export.ExportedProgram) -> Traced:
    signature = program.graph_signature
    lifted = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    first = {path: own for own, (_, also) in named_parameters(model).items() for path in (own, *also)}
    names = {name: first.get(logical(path), logical(path)) for name, path in lifted.items()}
    swapped: set[str] = set()
    nodes: list[Node] = []
    uses: dict[str, tuple[FxNode, Slot, bool]] = {}
    output = program.graph.output_node()
    for fx in program.graph.nodes:
        if fx.op != "call_function":
            continue
        if fx.target is operator.getitem and (fx.args[1] == 0 or not fx.users.keys() - {output}):
            names[fx.name] = names.get(fx.args[0].name, fx.args[0].name)  # an operation stands for its first result
            continue
        if _is_view_of_parameter(fx, names, lifted):
            source = fx.args[0]
            names[fx.name] = names[source.name]
            if _SWAPS[_op(fx)] != (source.name in swapped):
                swapped.add(fx.name)
            continue
        for input_node, slot in _slots(fx):
            path = names.get(input_node.name, "")
            if path in first.values() and path not in uses:
                uses[path] = (fx, slot, input_node.name in swapped)
        nodes.append(_node(fx, names))
    parameters = tuple(
        _parameter(path, tensor, also, uses.get(path)) for path, (tensor, also) in named_parameters(model).items()
    )
    return Traced(Graph(type(model).__name__, tuple(nodes), parameters), program, names)


def _op(fx: FxNode) -> str:
    """The name without namespace and overload: "linear" for aten.linear.default."""
    packet = getattr(fx.target, "overloadpacket", None)
    return str(packet.__name__ if packet is not None else getattr(fx.target, "__name__", fx.target))


def _is_view_of_parameter(fx: FxNode, names: dict[str, str], lifted: dict[str, str]) -> bool:
    source = fx.args[0] if fx.args else None
    return (
        _op(fx) in _SWAPS
        and isinstance(source, FxNode)
        and source.name in names
        and (source.name in lifted or _op(source) in _SWAPS)
    )


def _slots(fx: FxNode) -> Iterator[tuple[FxNode, Slot]]:
    """The inputs of an operation with what a parameter there would be."""
    op = _op(fx)
    if not hasattr(fx.target, "_schema"):
        return
    arguments = arguments_of(fx)
    for name, slot in SLOTS.get(op, {}).items():
        if isinstance(arguments.get(name), FxNode):
            yield arguments[name], slot
    if op in GATES:
        for position, entry in enumerate(arguments["params"]):
            yield entry, recurrent_slot(op, entry.meta["val"].dim(), position)
    for entry in fx.all_input_nodes:  # last: an operation that is not in the table still uses its parameters
        yield entry, Slot(Role.UNKNOWN)


def _parameter(
    path: str, tensor: torch.nn.Parameter, also: tuple[str, ...], use: tuple[FxNode, Slot, bool] | None
) -> Parameter:
    shape = tuple(tensor.shape)
    dtype = str(tensor.dtype).removeprefix("torch.")
    if use is None:
        return Parameter(path, shape, dtype, also=also)
    fx, slot, swapped = use
    seen = (*shape[:-2], shape[-1], shape[-2]) if swapped else shape
    measured = fans(seen, slot.use(arguments_of(fx), len(seen))) if slot.use and len(seen) >= 2 else None
    return Parameter(path, shape, dtype, slot.role, measured, also, fx.name)


def _node(fx: FxNode, names: dict[str, str]) -> Node:
    value = fx.meta.get("val")
    first = value[0] if isinstance(value, (tuple, list)) and value else value
    op = _op(fx)
    module, module_type = _innermost_module(fx)
    return Node(
        name=fx.name,
        op=op,
        inputs=tuple(names.get(i.name, i.name) for i in fx.all_input_nodes),
        shape=tuple(int(n) for n in getattr(first, "shape", ())),
        dtype=str(getattr(first, "dtype", "")).removeprefix("torch."),
        activation=ACTIVATIONS[op](arguments_of(fx)) if op in ACTIVATIONS else None,
        module=logical(module),
        module_type=module_type,
        source=_user_line(fx.meta.get("stack_trace") or ""),
    )


def _innermost_module(fx: FxNode) -> tuple[str, str]:
    stack = fx.meta.get("nn_module_stack") or {}
    if not stack:
        return "", ""
    path, kind = list(stack.values())[-1]
    return path, kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"


_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')
_TORCH = str(Path(torch.__file__).parent)


def _user_line(stack_trace: str) -> str:
    """The innermost frame outside PyTorch as "file.py:12", without folders, so that output is the same anywhere."""
    frames = [m for m in _FRAME.finditer(stack_trace) if not m["file"].startswith(_TORCH)]
    return f"{Path(frames[-1]['file']).name}:{frames[-1]['line']}" if frames else ""
