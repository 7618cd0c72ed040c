"""A model of any framework as calls of layers, and the `Graph` that they make.

An adapter says of each layer which of PyTorch's operations it is, with the arguments of that operation's schema; roles,
fans, parts and activations follow from the one table that PyTorch's own graphs are read with (`graph/operations.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fanin.graph.layout import Layout
from fanin.graph.model import ActivationCall, Graph, Input, Node, Parameter, Ref, Role
from fanin.graph.operations import ACTIVATIONS, GATES, SLOTS, UNKNOWN, Slot, recurrent_slots
from fanin.graph.roles import with_roles

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Held:
    """A parameter as a framework holds it: one of `Call.arguments`.

    Attributes:
        path: its name in the model.
        shape: as it is stored.
        layout: where the axes of the logical weight, which is PyTorch's, lie in the stored one.
        also: further names of the same tensor.
        owner: the classes of the layer that it belongs to, the most special first, as `Parameter.owner`.
        slot: what it is, where PyTorch has no operation, or no argument, that says it.
        row: in a call, which one along the first axis it reads, of a tensor that stacks the weights of several layers.
    """

    path: str
    shape: Shape
    layout: Layout
    dtype: str = "float32"
    frozen: bool = False
    also: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()
    slot: Slot | None = None
    row: int | None = None


@dataclass(frozen=True)
class LayerCall:
    """One call of one layer, as an operation of PyTorch's.

    Attributes:
        name: unique in the graph; others refer to the result by `Ref(name)`.
        op: of PyTorch, such as "linear", "conv2d", "layer_norm", "add", "relu"; any other name for what has none.
        arguments: by the names of its schema: a `Ref` for what the layer reads, a `Held` for a parameter, and plain
            data; tuples of those for lists of tensors, as `cat` and `lstm` take them.
        shape: of the result, in the order of axes that the operation of PyTorch has.
        activation: where the operation is a pointwise activation that `ACTIVATIONS` cannot say from its arguments.
        module: the path of the layer.
        module_type: its class, as "package.module.Class".
    """

    name: str
    op: str
    arguments: Mapping[str, Any]
    shape: Shape = ()
    dtype: str = "float32"
    activation: ActivationCall | None = None
    module: str = ""
    module_type: str = ""
    shapes: tuple[Shape, ...] = ()
    source: str = ""
    notes: tuple[str, ...] = field(default=())


def graph_of(
    model: str,
    held: Iterable[Held],
    calls: Sequence[LayerCall],
    inputs: Sequence[Input] = (),
    outputs: Sequence[Ref] = (),
    notes: Sequence[str] = (),
    *,
    modules_only: bool = False,
) -> Graph:
    """The graph of a model: nodes as PyTorch's trace would have them, and every parameter with role, fans and parts.

    Args:
        held: all parameters, in the model's order; those that no call reads get no role.
        calls: in the order they run.
        modules_only: the calls are not connected (`alone`): how signals flow between them is not known.

    Example:
        >>> from fanin.graph.layout import matrix
        >>> kernel = Held("dense/kernel", (64, 32), matrix((64, 32)))
        >>> dense = LayerCall("dense", "linear", {"input": Ref("x"), "weight": kernel}, (1, 32))
        >>> p = graph_of("net", [kernel], [dense], [Input("x", (1, 64), "float32")], [Ref("dense")]).parameters[0]
        >>> p.shape, str(p.role), p.fans, [str(role) for role in p.further]
        ((32, 64), 'weight', Fans(fan_in=64, fan_out=32), ['readout', 'first weight'])
    """
    uses: dict[str, tuple[LayerCall, Slot]] = {}
    for call in calls:
        for one, slot in _slots(call):
            if uses.get(one.path, (call, UNKNOWN))[1] is UNKNOWN:
                uses[one.path] = (call, slot)
    graph = Graph(
        model,
        tuple(map(_node, calls)),
        tuple(_parameter(one, uses.get(one.path)) for one in held),
        tuple(inputs),
        tuple(_shaped(ref, calls) for ref in outputs),
        tuple(notes),
        modules_only,
    )
    return graph if modules_only else with_roles(graph)


def _shaped(ref: Ref, calls: Sequence[LayerCall]) -> Ref:
    """With the shape that the call gives, unless it says one."""
    made = next((call for call in calls if call.name == ref.name), None)
    if ref.shape or made is None:
        return ref
    return ref._replace(shape=(made.shapes or (made.shape,))[ref.result])


def alone(call: LayerCall, behind: ActivationCall | str | None) -> tuple[LayerCall, ...]:
    """A layer of a model that was not run: it reads an input of its own and feeds what is seen or assumed behind it.

    Args:
        behind: an activation, the name of an operation, or None where the layer makes the model's output.
    """
    own = replace(call, arguments={name: _input(call, a) for name, a in call.arguments.items()})
    if isinstance(behind, ActivationCall):
        return own, LayerCall(f"{call.name}:activation", behind.name, {"self": Ref(call.name)}, activation=behind)
    return (own,) if behind is None else (own, LayerCall(f"{call.name}:next", behind, {"self": Ref(call.name)}))


def _input(call: LayerCall, argument: Any) -> Any:
    return Ref(f"{call.name}:input") if isinstance(argument, Ref) else argument


def _flat(arguments: Mapping[str, Any]) -> Iterator[Ref | Held]:
    for argument in arguments.values():
        if isinstance(argument, (Ref, Held)):
            yield argument
        elif isinstance(argument, (list, tuple)):
            yield from (a for a in argument if isinstance(a, (Ref, Held)))


def _slots(call: LayerCall) -> Iterator[tuple[Held, Slot]]:
    """The parameters of a call, each with what it is there."""
    known = SLOTS.get(call.op, {})
    lists = {"params": recurrent_slots(call.op, call.arguments)} if call.op in GATES else {}
    for name, argument in call.arguments.items():
        if isinstance(argument, Held):
            yield argument, argument.slot or known.get(name, UNKNOWN)
        elif isinstance(argument, (list, tuple)):
            slots = lists.get(name, [UNKNOWN] * len(argument))
            yield from ((a, a.slot or slot) for a, slot in zip(argument, slots, strict=False) if isinstance(a, Held))


def _node(call: LayerCall) -> Node:
    arguments = {name: _plain(argument) for name, argument in call.arguments.items()}
    activation = call.activation or (ACTIVATIONS[call.op](arguments) if call.op in ACTIVATIONS else None)
    inputs = tuple(one.path if isinstance(one, Held) else one.name for one in _flat(call.arguments))
    return Node(
        name=call.name,
        op=call.op,
        inputs=inputs,
        shape=call.shape,
        dtype=call.dtype,
        activation=activation,
        module=call.module,
        module_type=call.module_type,
        source=call.source,
        arguments=arguments,
        shapes=call.shapes or (call.shape,),
        notes=call.notes,
    )


def _plain(argument: Any) -> Any:
    if isinstance(argument, Held):
        shape = argument.layout.shape
        if argument.row is not None:
            return Ref(argument.path, 0, shape[1:], (argument.row, argument.row + 1))
        return Ref(argument.path, 0, shape, (0, shape[0]) if shape else None)
    if isinstance(argument, (list, tuple)):
        return tuple(map(_plain, argument)) if not isinstance(argument, Ref) else argument
    return argument


def _parameter(held: Held, use: tuple[LayerCall, Slot] | None) -> Parameter:
    shape = held.layout.shape
    axes = held.layout.axes
    plain = Parameter(held.path, shape, held.dtype, also=held.also, frozen=held.frozen, owner=held.owner)
    plain = plain if axes == tuple(sorted(axes)) else replace(plain, stored=axes)
    if use is None:
        return plain
    call, slot = use
    parts = slot.packs(shape)
    fans = slot.fans(call.arguments, shape) if slot.fans else None
    role = Role.UNKNOWN if slot.fans and fans is None else slot.role
    return replace(plain, role=role, fans=fans, node=call.name, parts=parts)
