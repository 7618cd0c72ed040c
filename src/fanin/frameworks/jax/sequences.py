"""Steps of a recurrent cell that are written out, as a scan is when it is unrolled, seen as one layer over a sequence.

A rule of prediction sees one operation. A step by itself would be taken for one with weights of its own, and what stays
the same from step to step, gates that are open or shut, would be missed; so for a prediction the steps are one `lstm`,
`gru` or `rnn_tanh` of PyTorch's, for which there is a rule. The graph that plans and measurements have stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from fanin.frameworks.described import NO_BIAS
from fanin.frameworks.held import Array
from fanin.graph import Graph, Node, Ref
from fanin.signals import Signals

OPERATIONS: Final = {"lstm_cell": "lstm", "gru_cell": "gru", "rnn_tanh_cell": "rnn_tanh"}
# How Flax and Equinox call the weights of all gates together.
OF_INPUT: Final = frozenset({"dense_i", "i", "weight_ih"})
OF_STATE: Final = frozenset({"dense_h", "h", "weight_hh"})
FEWEST: Final = 2  # steps


@dataclass(frozen=True)
class Gathered:
    """A graph in which sequences are one operation.

    Attributes:
        constants: biases that a cell does not have.
        stands_for: a step → the sequence; "" where its first result is another state, that the sequence does not show.
    """

    graph: Graph
    constants: Mapping[str, Array]
    stands_for: Mapping[str, str]

    def signals(self, found: Signals, graph: Graph) -> Signals:
        """By the nodes of the graph as it was; a step has the moments of the whole sequence."""
        if not self.stands_for:
            return found
        at = {node.name: self.stands_for.get(node.name, node.name) for node in graph.nodes}
        values = {name: found.values[now] for name, now in at.items() if now in found.values}
        gradients = {n: found.gradients[n] for n, now in at.items() if n == now and n in found.gradients}
        axes = {name: of for name, of in found.axes.items() if name in graph.by_name}
        return replace(found, values=values, gradients=gradients, graph=graph, axes=axes)


class _Steps(NamedTuple):
    """One cell over a sequence.

    Attributes:
        cells: its calls, the first step first.
        source: what steps are selected from, along `dim`; backwards, the last first.
        hidden: which results of a call are h; the others are read by the next call alone.
    """

    cells: Sequence[Node]
    source: Ref
    dim: int
    backwards: bool
    hidden: frozenset[int]


def gathered(graph: Graph) -> Gathered:
    """With every sequence of steps of one cell, from a state of zeros, whose weights are those of all its gates."""
    nodes = dict(graph.by_name)
    constants: dict[str, Array] = {}
    stands_for: dict[str, str] = {}
    for steps in _sequences(graph):
        made = _whole(graph, steps)
        if made is None:
            continue
        whole, missing = made
        constants |= missing
        nodes |= {node.name: node for node in (*whole, *_pieces(graph, steps, whole[-1]))}
        stands_for |= {cell.name: whole[-1].name if 0 in steps.hidden else "" for cell in steps.cells}
    if not stands_for:
        return Gathered(graph, {}, {})
    return Gathered(replace(graph, nodes=tuple(_in_order(graph, nodes))), constants, stands_for)


def _sequences(graph: Graph) -> Iterator[_Steps]:
    """Chains of calls, each of which has the state that the one before it left."""
    after = {before: node for node in graph.nodes if (before := _before(graph, node)) is not None}
    for node in graph.nodes:
        if node.op in OPERATIONS and node.arguments.get("hx") == ():
            cells = [node]
            while (following := after.get(cells[-1].name)) is not None:
                cells.append(following)
            if len(cells) >= FEWEST and (steps := _steps(graph, cells)) is not None:
                yield steps


def _before(graph: Graph, node: Node) -> str | None:
    """The call of the same cell whose state this one begins with."""
    if node.op not in OPERATIONS:
        return None
    names = set()
    for ref in _refs(node.arguments.get("hx")):
        made = graph.by_name.get(ref.name)
        names.add(made.inputs[0] if made is not None and made.op == "getitem" else ref.name)
    (name,) = names if len(names) == 1 else ("",)
    return name if name in graph.by_name and graph.by_name[name].op == node.op else None


def _steps(graph: Graph, cells: Sequence[Node]) -> _Steps | None:
    """None where the inputs are not the steps of one tensor, in order, or something else reads the c of an LSTM."""
    selects = [graph.by_name.get(ref.name) for cell in cells for ref in _refs(cell.arguments.get("input"))]
    found = [node for node in selects if node is not None and node.op == "select"]
    if len(found) != len(cells) or len({(n.arguments["self"], n.arguments["dim"]) for n in found}) != 1:
        return None
    source, dim = found[0].arguments["self"], found[0].arguments["dim"]
    order, forth = [int(node.arguments["index"]) for node in found], list(range(len(cells)))
    of_all = len(source.shape) == 3 and dim in (0, 1) and source.shape[dim] == len(cells)
    if not of_all or order not in (forth, forth[::-1]):
        return None
    steps = _Steps(cells, source, dim, order != forth, _hidden(cells[0]))
    return None if any(_cell_state_is_read(graph, cell, steps.hidden) for cell in cells) else steps


def _hidden(cell: Node) -> frozenset[int]:
    """Which results are h: Flax returns (carry, h), with (c, h) for the carry of an LSTM; Equinox (h, c)."""
    if cell.op != "lstm_cell":
        return frozenset({0, 1})
    of_equinox = any(_called(name) in {"weight_ih", "weight_hh"} for name in cell.inputs)
    return frozenset({0}) if of_equinox else frozenset({1, 2})


def _cell_state_is_read(graph: Graph, cell: Node, hidden: frozenset[int]) -> bool:
    """By anything but the next call."""
    returned = {(ref.name, ref.result) for ref in graph.outputs}
    if 0 not in hidden and (cell.name, 0) in returned:
        return True
    for user in graph.users.get(cell.name, ()):
        if user.op == "getitem":
            readers = graph.users.get(user.name, ())
            read = any(reader.op != cell.op for reader in readers) or (user.name, 0) in returned
            if read and int(user.arguments["index"]) not in hidden:
                return True
        elif user.op != cell.op and 0 not in hidden:
            return True
    return False


def _whole(graph: Graph, steps: _Steps) -> tuple[list[Node], dict[str, Array]] | None:
    """The layer over the sequence; None where a gate has weights of its own."""
    read = (ref for cell in steps.cells for argument in cell.arguments.values() for ref in _refs(argument))
    weights = {ref.name: ref for ref in read if ref.name in graph.by_path}
    matrices = [ref for ref in weights.values() if len(ref.shape) == 2]
    biases = [ref for ref in weights.values() if len(ref.shape) == 1]
    of_input = [ref for ref in matrices if _called(ref.name) in OF_INPUT]
    of_state = [ref for ref in matrices if _called(ref.name) in OF_STATE]
    if (len(of_input), len(of_state), len(matrices)) != (1, 1, 2) or len(biases) > 2:
        return None
    rows = of_input[0].shape[0]
    if any(bias.shape != (rows,) for bias in biases):
        return None
    first, name, source = steps.cells[0], f"{steps.cells[0].name}.sequence", steps.source
    missing = {f"{NO_BIAS}.{name}.{i}": np.zeros(rows, np.float32) for i in range(2 - len(biases) if biases else 0)}
    nodes = []
    if steps.backwards:
        source = Ref(f"{name}.flip", 0, source.shape)
        nodes.append(_node(first, source.name, "flip", {"self": steps.source, "dims": (steps.dim,)}, source.shape))
    units, batch = first.shape[-1], source.shape[1 - steps.dim]
    shape = (*source.shape[:2], units)
    arguments = {
        "input": source,
        "params": (*of_input, *of_state, *biases, *(Ref(bias, 0, (rows,)) for bias in missing)),
        "has_biases": bool(biases),
        "num_layers": 1,
        "dropout": 0.0,
        "train": True,
        "bidirectional": False,
        "batch_first": steps.dim == 1,
    }
    op = OPERATIONS[first.op]
    states = ((1, batch, units),) * (2 if op == "lstm" else 1)
    return [*nodes, replace(_node(first, name, op, arguments, shape), shapes=(shape, *states))], missing


def _pieces(graph: Graph, steps: _Steps, whole: Node) -> Iterator[Node]:
    """Under the names that they had: the h of each step, cut from the sequence; and all of them side by side again."""
    sequence = Ref(whole.name, 0, whole.shape)
    names = [{cell.name} if 0 in steps.hidden else set[str]() for cell in steps.cells]
    for index, cell in enumerate(steps.cells):
        yield _node(cell, cell.name, "select", {"self": sequence, "dim": steps.dim, "index": index}, cell.shape)
        for user in graph.users.get(cell.name, ()):
            if user.op == "getitem":
                yield _node(user, user.name, "alias", {"self": Ref(cell.name, 0, cell.shape)}, user.shape)
                names[index].add(user.name)
    for stack in {user.name: user for of in names for name in of for user in graph.users.get(name, ())}.values():
        given = [ref.name for ref in _refs(stack.arguments.get("tensors"))]
        together = len(given) == len(names) and all(name in of for name, of in zip(given, names, strict=True))
        if stack.op == "stack" and together and stack.arguments.get("dim") == steps.dim:
            yield _node(stack, stack.name, "alias", {"self": sequence}, stack.shape)


def _node(like: Node, name: str, op: str, arguments: Mapping[str, Any], shape: tuple[int, ...]) -> Node:
    inputs = tuple(dict.fromkeys(ref.name for argument in arguments.values() for ref in _refs(argument)))
    return replace(like, name=name, op=op, inputs=inputs, shape=shape, arguments=arguments, shapes=(shape,))


def _refs(argument: Any) -> tuple[Ref, ...]:
    listed = argument if isinstance(argument, (tuple, list)) and not isinstance(argument, Ref) else (argument,)
    return tuple(ref for ref in listed if isinstance(ref, Ref))


def _called(path: str) -> str:
    """`dense_i` of cell.dense_i.kernel, `weight_ih` of cell.weight_ih."""
    *inner, last = path.split(".")
    return last if last.startswith("weight") or not inner else inner[-1]


def _in_order(graph: Graph, nodes: Mapping[str, Node]) -> Iterator[Node]:
    """Those that the outputs need, each behind what it reads."""
    seen: set[str] = set()
    pending = [(ref.name, False) for ref in reversed(graph.outputs)]
    while pending:
        name, ready = pending.pop()
        if ready:
            yield nodes[name]
        elif name in nodes and name not in seen:
            seen.add(name)
            pending.append((name, True))
            pending += [(one, False) for one in reversed(nodes[name].inputs)]
