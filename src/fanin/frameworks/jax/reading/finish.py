"""From drafts to what `graph_of` takes: only what the outputs need, in an order in which it can run, named anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fanin.frameworks.jax.reading.drafts import Draft, Tensor, Use, tensors_in
from fanin.frameworks.jax.reading.program import Operand
from fanin.frameworks.jax.reading.read import Reading, as_it_is
from fanin.graph import Held, Input, LayerCall, Ref


def finished(
    reading: Reading, outputs: Sequence[Operand]
) -> tuple[list[Held], list[LayerCall], list[Input], list[Ref]]:
    """What `graph_of` takes, without what the outputs do not need."""
    numbers = [o for o in outputs if isinstance(o, int)]
    refs = [reading.ref(reading.env[o], o) for o in numbers]
    outs = [r for r in refs if isinstance(r, Ref)]
    kept: set[str] = set()
    pending = [r.name for r in outs]
    while pending:
        name = pending.pop()
        if name in reading.drafts and name not in kept:
            kept.add(name)
            pending.extend(a.name for a in tensors_in(reading.drafts[name].arguments) if isinstance(a, Ref))
    held = {t.path: _held(reading, t) for t in reading.tensors.values() if t.trained}
    drafts = [d for d in _in_order(reading) if d.name in kept]
    outs = _renumbered(reading, drafts, outs)
    read = {a.name for d in drafts for a in tensors_in(d.arguments) if isinstance(a, Ref)} | {r.name for r in outs}
    inputs = [Input(name, of.shape, str(of.dtype)) for name, of in reading.inputs.items() if name in read]
    return list(held.values()), [_layer_call(d, held) for d in drafts], inputs, outs


def _renumbered(reading: Reading, drafts: Sequence[Draft], outs: Sequence[Ref]) -> list[Ref]:
    """Nodes are counted again, without those that nothing needs."""
    counted: Counter[str] = Counter()
    names: dict[str, str] = {}
    for draft in drafts:
        number = counted[draft.op]
        counted[draft.op] += 1
        names[draft.name] = f"{draft.op}_{number}" if number else draft.op

    def renamed(argument: Any) -> Any:
        if isinstance(argument, Ref):
            return argument._replace(name=names.get(argument.name, argument.name))
        if isinstance(argument, tuple) and not isinstance(argument, Use):
            return tuple(map(renamed, argument))
        return argument

    for draft in drafts:
        draft.name = names[draft.name]
        draft.arguments = {name: renamed(argument) for name, argument in draft.arguments.items()}
    reading.opaque = {names[name]: primitive for name, primitive in reading.opaque.items() if name in names}
    reading.drafts = {draft.name: draft for draft in drafts}
    return [renamed(ref) for ref in outs]


def _in_order(reading: Reading) -> Iterator[Draft]:
    """By what needs what: a chain is named when it is asked for, which may be late."""
    seen: set[str] = set()

    def visit(name: str) -> Iterator[Draft]:
        if name in reading.drafts and name not in seen:
            seen.add(name)
            for a in tensors_in(reading.drafts[name].arguments):
                if isinstance(a, Ref):
                    yield from visit(a.name)
            yield reading.drafts[name]

    for name in list(reading.drafts):
        yield from visit(name)


def _held(reading: Reading, tensor: Tensor) -> Held:
    layout, slot = reading.layouts.get(tensor.path, (as_it_is(tensor.shape), None))
    return Held(tensor.path, tensor.shape, layout, tensor.dtype, owner=tensor.owner, slot=slot)


def _layer_call(draft: Draft, held: Mapping[str, Held]) -> LayerCall:
    def final(argument: Any) -> Any:
        if isinstance(argument, Use):
            return replace(held[argument.path], row=argument.row)
        if isinstance(argument, (list, tuple)) and not isinstance(argument, Ref):
            return tuple(map(final, argument))
        return argument

    return LayerCall(
        draft.name,
        draft.op,
        {name: final(argument) for name, argument in draft.arguments.items()},
        draft.shape,
        draft.dtype,
        draft.activation,
        draft.module,
        draft.module_type,
        source=draft.source,
        notes=draft.notes,
    )
