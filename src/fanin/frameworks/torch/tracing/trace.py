"""From a module and an example to a `Graph`, by `torch.export`; no weight is copied and nothing is computed.

What the exporter cannot follow, branches on values above all, is run once on the example, and the run is exported.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch.fx.node import Node as FxNode

from fanin.errors import BadInput
from fanin.frameworks.torch.model.call import call_of
from fanin.frameworks.torch.model.devices import require_one_device
from fanin.frameworks.torch.model.failure import line_in
from fanin.frameworks.torch.model.layer import given
from fanin.frameworks.torch.model.names import checked_parameters, named_parameters, naming, owned_by, owners
from fanin.frameworks.torch.model.output import Build
from fanin.frameworks.torch.model.quiet import quiet
from fanin.frameworks.torch.model.state import undisturbed
from fanin.frameworks.torch.model.whole import any_sharded, unwrapped, whole
from fanin.frameworks.torch.tracing.arguments import gives_tensors, plain_arguments, ref
from fanin.frameworks.torch.tracing.custom_functions import CustomFunctions
from fanin.frameworks.torch.tracing.operations import arguments_of, op_of
from fanin.frameworks.torch.tracing.patterns import PRODUCTS, VIEWS, handwritten
from fanin.frameworks.torch.tracing.program import Program, program_of
from fanin.graph import Graph, Input, Node, Parameter, Ref, Role, with_roles
from fanin.graph.operations import ACTIVATIONS, GATES, PACKED, SLOTS, UNKNOWN, Slot, einsum_slots, recurrent_slots


@dataclass(frozen=True)
class Traced:
    """A module's graph together with the program that can be run node by node."""

    graph: Graph
    program: torch.export.ExportedProgram
    names: dict[str, str]  # FX node → the name by which the graph calls it: itself, or a parameter's path
    output: Build  # from the program's own outputs to what the model returns

    @cached_property
    def last_uses(self) -> dict[FxNode, list[FxNode]]:
        """By node of the program, which others' values nobody needs after it."""
        found: dict[FxNode, list[FxNode]] = {}
        used: set[FxNode] = set()
        for fx in reversed(self.program.graph.nodes):
            found[fx] = [source for source in (fx, *fx.all_input_nodes) if source not in used]
            used.update(found[fx])
        return found


def trace(model: torch.nn.Module, *example: Any) -> Traced:
    """Record the operations of one call of `model(*example)`, in the mode that the model is in.

    A mapping at the end of the example is passed as keywords (`call_of`); of what the model returns, the tensors are
    recorded (`taken_apart`).

    Raises:
        BadInput: not a module, no example was given or an empty one, or it is on another device than the model.
        NoParameters: the model has none.
        ShapeMismatch: the example does not fit; the message names the layer, expected and got.
        CannotTrace: the forward pass cannot be recorded; the message names the line.
    """
    if isinstance(model, torch.nn.Module) and not example:
        raise BadInput("An example input is needed to see what the model does: pass one batch, measure(model, x).")
    checked_parameters(model)
    model, sharded = unwrapped(model), any_sharded(model)
    call = call_of(model, example)
    tensors = [leaf for leaf in call.leaves if isinstance(leaf, torch.Tensor)]
    if tensors and not any(tensor.numel() for tensor in tensors):
        raise BadInput(f"The example is empty: {given(call.values)}. Give one sample at least.")
    require_one_device(model, call.leaves)
    on_meta = {tensor.is_meta for tensor in (*model.parameters(), *model.buffers())}
    if sharded or any(on_meta):  # then only shapes and dtypes are known
        call = call.on_meta()
    with whole(model) if sharded or len(on_meta) > 1 else undisturbed(model), quiet():
        return _read(model, program_of(model, call, sharded=sharded))


def _read(model: torch.nn.Module, found: Program) -> Traced:
    program = found.exported
    signature = program.graph_signature
    logical = naming(model)
    parameters = named_parameters(model)
    first = {path: own for own, (_, also) in parameters.items() for path in (own, *also)}
    lifted = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    names = {name: first.get(logical(path), logical(path)) for name, path in lifted.items()}
    stored = set(names)  # parameters, buffers and their views
    made: dict[str, tuple[str, ...]] = {}  # what is computed from those alone, such as a normalised weight
    functions = CustomFunctions()
    nodes: list[Node] = []
    recorded: dict[str, FxNode] = {}
    uses: dict[str, _Use] = {}
    end = program.graph.output_node()
    for fx in program.graph.nodes:
        op = op_of(fx)
        if fx.op != "call_function" or op.startswith("_assert") or not gives_tensors(fx):
            continue
        if op in VIEWS and fx.args and getattr(fx.args[0], "name", None) in stored:
            names[fx.name] = names[fx.args[0].name]
            stored.add(fx.name)
            continue
        if fx.target is operator.getitem and (fx.args[1] == 0 or not fx.users.keys() - {end}):
            names[fx.name] = names.get(fx.args[0].name, fx.args[0].name)  # an operation stands for its first result
            continue
        read = [i.name for i in fx.all_input_nodes]
        if read and all(name in stored or name in made for name in read):
            made[fx.name] = tuple(dict.fromkeys(s for name in read for s in made.get(name, (name,))))
        for entry, slot in _slots(fx, stored):
            path = names.get(entry.name, "")
            seen_as = tuple(getattr(entry.meta["val"], "shape", ()))
            if path in parameters:
                uses.setdefault(path, _Use(fx, slot, seen_as))
            elif entry.name in made and fx.name not in made and slot is not UNKNOWN:
                sources = {names[source] for source in made[entry.name]} & parameters.keys()
                _computed(uses, {path: parameters[path][0] for path in sources}, _Use(fx, slot, seen_as))
        nodes.append(_node(fx, names, logical, functions))
        recorded[fx.name] = fx
    packed = {logical(path): slot for path, slot in _packed(model)}
    for path in uses.keys() & packed.keys():
        uses[path] = uses[path]._replace(slot=packed[path], shape=tuple(parameters[path][0].shape))
    of = owners(model)
    described = tuple(
        replace(_parameter(path, tensor, also, uses.get(path)), owner=owned_by(of, path, *also))
        for path, (tensor, also) in parameters.items()
    )
    seen = {fx: path for fx, path in names.items() if fx in stored and path in parameters}
    nodes = [replace(node, arguments=plain_arguments(recorded[node.name], seen)) for node in nodes]
    notes = found.notes + tuple(dict.fromkeys(f"{note} (at {node.source})" for node in nodes for note in node.notes))
    graph = Graph(type(model).__name__, tuple(nodes), described, _inputs(program), _outputs(program, seen), notes)
    return Traced(with_roles(graph), program, names, found.output)


def _inputs(program: torch.export.ExportedProgram) -> tuple[Input, ...]:
    by_name = {fx.name: fx.meta.get("val") for fx in program.graph.find_nodes(op="placeholder")}
    named = ((name, by_name.get(name)) for name in program.graph_signature.user_inputs)
    return tuple(
        Input(str(name), tuple(map(int, value.shape)), str(value.dtype).removeprefix("torch."))
        for name, value in named
        if isinstance(value, torch.Tensor)
    )


def _outputs(program: torch.export.ExportedProgram, parameters: Mapping[str, str]) -> tuple[Ref, ...]:
    kinds = torch.export.graph_signature.OutputKind
    pairs = zip(program.graph_signature.output_specs, program.graph.output_node().args[0], strict=True)
    return tuple(ref(fx, parameters) for spec, fx in pairs if spec.kind is kinds.USER_OUTPUT and isinstance(fx, FxNode))


class _Use(NamedTuple):
    """The operation that first reads a parameter, what it is there, and the shape in which it is seen."""

    fx: FxNode
    slot: Slot
    shape: tuple[int, ...]


def _computed(uses: dict[str, _Use], sources: Mapping[str, torch.Tensor], use: _Use) -> None:
    """A tensor that an operation uses is computed from these: the one of its size is what is used, others scale it."""
    alike = [path for path, tensor in sources.items() if tensor.numel() == math.prod(use.shape)]
    if len(alike) == 1 and uses[alike[0]].slot is UNKNOWN:
        uses[alike[0]] = use
        for path in sources.keys() - set(alike):
            if uses[path].slot is UNKNOWN:
                uses[path] = uses[path]._replace(slot=Slot(Role.MAGNITUDE))


def _packed(model: torch.nn.Module) -> Iterator[tuple[str, Slot]]:
    """The parameters that torch's own modules pack in ways that no operation shows."""
    for path, module in model.named_modules():
        for kind in type(module).__mro__:
            if kind.__module__.startswith("torch.nn."):
                for name, slot in PACKED.get(kind.__name__, {}).items():
                    yield f"{path}.{name}" if path else name, slot


def _slots(fx: FxNode, stored: set[str]) -> Iterator[tuple[FxNode, Slot]]:
    """The inputs of an operation with what a parameter there would be."""
    op = op_of(fx)
    arguments = arguments_of(fx)
    if op not in PRODUCTS or not all(i.name in stored for i in fx.all_input_nodes):  # a product of weights is no layer
        for name, slot in SLOTS.get(op, {}).items():
            if isinstance(arguments.get(name), FxNode):
                yield arguments[name], slot
        if op in GATES:
            yield from zip(arguments["params"], recurrent_slots(op, arguments), strict=True)
        if op == "einsum":
            yield from zip(arguments["tensors"], einsum_slots(arguments), strict=True)
    for entry in fx.all_input_nodes:  # last: an operation that is not in the table still uses its parameters
        yield entry, handwritten(fx, lambda i: i.name in stored) if entry.name in stored else UNKNOWN


def _parameter(path: str, tensor: torch.nn.Parameter, also: tuple[str, ...], use: _Use | None) -> Parameter:
    shape = tuple(tensor.shape)
    dtype = str(tensor.dtype).removeprefix("torch.")
    frozen = not tensor.requires_grad
    if use is None:
        return Parameter(path, shape, dtype, also=also, frozen=frozen)
    parts = use.slot.packs(shape) if use.shape == shape else None  # not where a view is all that is seen
    if use.slot.fans is None:
        return Parameter(path, shape, dtype, use.slot.role, None, also, use.fx.name, frozen, parts)
    measured = use.slot.fans(arguments_of(use.fx), use.shape)
    role = use.slot.role if measured else Role.UNKNOWN
    return Parameter(path, shape, dtype, role, measured, also, use.fx.name, frozen, parts)


def _node(fx: FxNode, names: dict[str, str], logical: Callable[[str], str], functions: CustomFunctions) -> Node:
    value = fx.meta.get("val")
    first = value[0] if isinstance(value, (tuple, list)) and value else value
    op = op_of(fx)
    module, module_type = innermost_module(fx)
    stack = fx.meta.get("stack_trace") or ""
    function = functions.name(stack)
    return Node(
        name=fx.name,
        op=op,
        inputs=tuple(names.get(i.name, i.name) for i in fx.all_input_nodes if gives_tensors(i)),
        shape=tuple(int(n) for n in getattr(first, "shape", ())),
        dtype=str(getattr(first, "dtype", "")).removeprefix("torch."),
        shapes=tuple(
            tuple(int(n) for n in v.shape) if isinstance(v, torch.Tensor) else ()
            for v in (value if isinstance(value, (tuple, list)) else (value,))
        ),
        activation=ACTIVATIONS[op](arguments_of(fx)) if op in ACTIVATIONS else None,
        module=logical(module),
        module_type=module_type,
        source=line_in(stack),
        notes=(f"the custom backward rule of {function}, which the graph does not have",) if function else (),
    )


def innermost_module(fx: FxNode) -> tuple[str, str]:
    """The path, as it is in the model, and the type of the module that runs an operation."""
    stack = fx.meta.get("nn_module_stack") or {}
    if not stack:
        return "", ""
    path, kind = list(stack.values())[-1]
    return path, kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
