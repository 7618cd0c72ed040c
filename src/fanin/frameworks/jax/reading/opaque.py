"""Steps that have no reader, and those that change nothing."""

from __future__ import annotations

from fanin.frameworks.jax.reading.drafts import Signal
from fanin.frameworks.jax.reading.program import Step
from fanin.frameworks.jax.reading.read import Reading
from fanin.frameworks.jax.reading.views import whole
from fanin.graph import Ref


def unknown(reading: Reading, step: Step) -> None:
    """A step without a rule of its own: its arguments in order."""
    values = [reading.value(o) for o in step.ins]
    arguments = {f"arg{i}": reading.ref(v, step.outs[0]) for i, v in enumerate(values)}
    shapes = tuple(reading.program.types[o].shape for o in step.outs)
    name = reading.node(step.primitive, arguments, shapes[0], step.outs[0], source=step.source)
    for i, (out, shape) in enumerate(zip(step.outs, shapes, strict=True)):
        made = name if i == 0 else reading.node("getitem", {"self": Ref(name, i, shape), "index": i}, shape, out)
        reading.env[out] = Signal(whole(made, shape))
    reading.opaque[name] = step.primitive


def same(reading: Reading, step: Step) -> None:
    """What changes no number that counts here: another dtype, a name, a placement."""
    for source, out in zip(step.ins, step.outs, strict=False):
        reading.env[out] = reading.value(source)
