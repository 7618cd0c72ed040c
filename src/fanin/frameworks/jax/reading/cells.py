"""One step of a recurrent layer as one node: its gates are no residual branches, its weights have roles of their own.

The step is read as any other code is, so that weights, biases and their layouts are known; then its nodes are made one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from fanin.frameworks.jax.reading.drafts import Draft, Known, Pointwise, Signal, Use, Value
from fanin.frameworks.jax.reading.program import Step
from fanin.frameworks.jax.reading.read import Reading
from fanin.frameworks.jax.reading.views import whole
from fanin.graph import Ref, Role
from fanin.graph.operations import packed, packed_bias

if TYPE_CHECKING:
    from fanin.frameworks.jax.reading.marks import Cell

GATES: Final = {4: ("i", "f", "g", "o"), 3: ("r", "z", "n"), 2: ("r", "z")}  # by how many a weight packs


def stepped(reading: Reading, step: Step, cell: Cell) -> None:
    """Enter: note what is there. Leave: the nodes that came are one, which makes the new state."""
    layer = step.params["layer"]
    if step.params["enters"]:
        values = [reading.signal(reading.value(o), out) for o, out in zip(step.ins, step.outs, strict=True)]
        reading.env |= dict(zip(step.outs, values, strict=True))
        reading.entered[layer], reading.before[layer] = list(values), set(reading.drafts)
        return
    entered = reading.entered[layer]
    state = [entered[i] for i in cell.state]
    inputs = [v for i, v in enumerate(entered) if i not in cell.state]
    new = [d for name, d in reading.drafts.items() if name not in reading.before[layer]]
    used = dict(_parameters(reading, new, state, _width(reading, step)))
    for name in [d.name for d in new]:
        del reading.drafts[name]
    reading.forget(set(reading.before[layer]))
    arguments = {"input": _refs(reading, inputs), "hx": _refs(reading, state), **used}
    shapes = [reading.program.types[o].shape for o in step.outs]
    name = reading.node(cell.op, arguments, shapes[0], step.outs[0], source=step.source)
    for i, (out, shape) in enumerate(zip(step.outs, shapes, strict=True)):
        made = name if i == 0 else reading.node("getitem", {"self": Ref(name, i, shape), "index": i}, shape, out)
        reading.env[out] = Signal(whole(made, shape))


def _width(reading: Reading, step: Step) -> int:
    """The units of the state."""
    return reading.program.types[step.outs[0]].shape[-1]


def _parameters(reading: Reading, drafts: list[Draft], state: list[Value], width: int) -> Iterator[tuple[str, Use]]:
    """Weights on the state are recurrent; the gates that a tensor packs are its parts."""
    carried = {v.view.source for v in state if isinstance(v, Signal)}
    seen: set[str] = set()
    for draft in drafts:
        source = draft.arguments.get("input")
        recurrent = isinstance(source, Ref) and _comes_from(reading, source.name, carried)
        for name, argument in draft.arguments.items():
            if not isinstance(argument, Use) or argument.path in seen:
                continue
            seen.add(argument.path)
            layout, _ = reading.layouts[argument.path]
            gates = GATES.get(layout.shape[0] // width, ()) if layout.shape and width else ()
            if name == "weight":
                slot = packed(gates, Role.RECURRENT if recurrent else Role.WEIGHT)
            else:
                slot = packed_bias(gates)
            reading.layouts[argument.path] = (layout, slot)
            yield argument.path, argument


def _comes_from(reading: Reading, name: str, carried: set[str]) -> bool:
    """Whether it is the state, seen through views."""
    while name not in carried:
        draft = reading.drafts.get(name)
        source = draft.arguments.get("self") if draft and draft.op in {"view", "permute"} else None
        if not isinstance(source, Ref):
            return False
        name = source.name
    return True


def _refs(reading: Reading, values: list[Value]) -> Any:
    """One, or several, of which constants are left out."""
    refs = tuple(reading.ref(v, -1) for v in values if not isinstance(v, (Known, Pointwise)))
    return refs[0] if len(refs) == 1 else refs
