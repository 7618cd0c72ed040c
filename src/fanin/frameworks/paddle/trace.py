"""From a Paddle model and an example to a `Graph`: one run on symbolic values, so that nothing is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fanin.frameworks.described import Described
from fanin.frameworks.paddle.describe import Description, line_of, shape_of
from fanin.frameworks.paddle.layers import describer_of
from fanin.frameworks.paddle.operations import describe_operation, operands
from fanin.frameworks.paddle.parameters import dtype_of, parameters
from fanin.frameworks.paddle.record import recorded
from fanin.frameworks.paddle.run import evaluated
from fanin.frameworks.paddle.watch import LayerRun
from fanin.graph import Held, Input, LayerCall, Ref, graph_of


@dataclass(frozen=True)
class Traced(Described):
    """A model's graph, and the program that it was read from."""

    description: Description = field(default=None, kw_only=True)  # type: ignore[assignment]  # always given


def trace(model: Any, *example: Any, loss: Callable[[Any], Any] | None = None) -> Traced:
    """Record one call of `model(*example)` and describe it.

    Args:
        loss: recorded behind the model; the graph is that of the model alone.

    Raises:
        BadInput: not a Paddle layer, or an example without tensors.
        NoParameters: the model has none.
        ShapeMismatch: the example does not fit.
        CannotTrace: what the model does depends on values.
    """
    own = parameters(model)
    made = recorded(model, example, lambda layer: describer_of(layer) is not None, loss)
    d = Description(made, own)
    inputs = _describe(d)
    outputs = [d.signals[value.id] for value in made.outputs if value.id in d.signals]
    calls = needed(d.calls, outputs)
    graph = graph_of(type(model).__name__, own.held.values(), calls, inputs, outputs)
    read = {ref.name for call in calls for ref in _refs(call)}
    return Traced(graph, evaluated(made, {n: v for n, v in d.constants.items() if n in read}), description=d)


def _describe(d: Description) -> list[Input]:
    """Walk the program once."""
    owner = owners(d.recorded.runs)
    operations = d.recorded.program.global_block().ops
    last: dict[int, int] = {}  # a leaf's run → its last operation
    for at, operation in enumerate(operations):
        run = owner.get(operation.id())
        if run is not None and describer_of(run.layer):
            last[id(run)] = at
    inputs = []
    for at, operation in enumerate(operations):
        run = d.run = owner.get(operation.id())
        if operation.name() == "pd_op.data":
            value = operation.results()[0]
            name = operation.attrs()["name"]
            d.signals[value.id] = Ref(name, 0, shape_of(value))
            inputs.append(Input(name, shape_of(value), dtype_of(value)))
            continue
        describe = describer_of(run.layer) if run is not None else None
        if run is not None and describe:
            if last[id(run)] == at:
                d.source = line_of(operation)
                describe(d, run)
        elif any(d.is_signal(value) for value in _read_by(operation)):
            d.source = line_of(operation)
            describe_operation(d, operation)
    d.run = None
    return inputs


def _read_by(operation: Any) -> list[Any]:
    """Its operands, those in lists too; a list that is made, or taken apart, is no operation of its own."""
    if operation.name() == "builtin.combine":
        return []
    found = []
    for value in operands(operation):
        made = value.get_defining_op()
        found += list(made.operands_source()) if made is not None and made.name() == "builtin.combine" else [value]
    return found


def owners(runs: Sequence[LayerRun]) -> dict[int, LayerRun]:
    """An operation's id → the innermost layer that ran it: from the results of each run back to its inputs."""
    found: dict[int, LayerRun] = {}
    for run in runs:
        seen = {value.id for value in run.inputs}
        waiting = list(run.outputs)
        while waiting:
            value = waiting.pop()
            operation = value.get_defining_op()
            if value.id in seen or operation is None or operation.name() in {"builtin.parameter", "pd_op.data"}:
                continue
            seen.add(value.id)
            inner = found.setdefault(operation.id(), run)
            waiting += inner.inputs if inner is not run else operands(operation)
    return found


def needed(calls: Sequence[LayerCall], outputs: Sequence[Ref]) -> list[LayerCall]:
    """The calls that the outputs depend on, and those with parameters."""
    wanted = {ref.name for ref in outputs}
    kept = []
    for call in reversed(calls):
        if call.name in wanted or any(isinstance(a, Held) for a in call.arguments.values()):
            kept.append(call)
            wanted |= {ref.name for ref in _refs(call)}
    return kept[::-1]


def _refs(call: LayerCall) -> list[Ref]:
    found: list[Ref] = []
    for argument in call.arguments.values():
        listed = argument if isinstance(argument, (list, tuple)) and not isinstance(argument, Ref) else (argument,)
        found += [one for one in listed if isinstance(one, Ref)]
    return found
