"""The loss, a gradient or an activation is infinite or not a number.

## What it does
Looks at the loss of every step, and in watched steps at every layer's output and every parameter's gradient. The first
layer of the forward pass whose output is not finite is named, else the first parameter. With
`fanin.watch(model, to="runs/", keep_step=True)` each step is kept until the next one; the one that breaks is made
again, its first operation whose result is not finite is named with its line and its operands, and the step stays in a
folder for `fanin.monitor.replay`.

## Why it is bad
One NaN reaches every parameter at the next update, and nothing brings them back.

## Remedy
Go back to the last checkpoint before it. If the norm of the gradients grew before, a smaller learning rate or clipping:
torch.nn.utils.clip_grad_norm_. If it came at once, an operation at the end of its domain, or the data.

## Known exceptions
A step that a GradScaler skipped because gradients in float16 overflowed is as it should be.

## Source
Goodfellow, Bengio & Courville 2016, Deep Learning, sections 4.1 and 10.11.1.
"""

from __future__ import annotations

import math

from fanin.diagnosis import Finding
from fanin.diagnosis.model import Severity
from fanin.monitor.account import Record
from fanin.monitor.alarm import Alarm, History

GREW = 10.0  # times its median: then what follows is an explosion, not an accident


def find(alarm: Alarm, history: History) -> Finding | None:
    """In the forward pass, else in the gradients, else in the loss alone."""
    record, loss = history.record, history.loss
    layer = first_layer(record) if record else ""
    broken = history.not_finite or (broken_gradients(record) if record and not record.skipped else ())
    lost = loss is not None and not math.isfinite(loss)
    if not (lost or layer or broken):
        return None
    what = f"the loss is {loss}" if lost else "the loss is still finite"
    if history.origin:
        what += f"; {history.origin}"
    elif layer:
        what += f"; {layer} is the first layer whose output is infinite or not a number"
    if broken:
        what += f"; {len(broken)} parameter(s) or their gradients are not finite, {broken[0]} the first"
    why, remedy = _cause(alarm, history)
    if history.kept_in:
        remedy += f"; the step is kept: fanin.monitor.replay({history.kept_in!r}, model) makes it again"
    module = history.origin.module if history.origin else layer
    return alarm.finding(
        Severity.ERROR,
        what,
        why,
        module=module,
        source=history.origin.source if history.origin else "",
        parameter="" if module or history.origin else next(iter(broken), ""),
        also=broken,
        remedy=remedy,
        start_helps=history.step <= 10,
        loss=math.nan if loss is None else loss,
    )


def _cause(alarm: Alarm, history: History) -> tuple[str, str]:
    """Why, and the remedy."""
    if (grew := _growth(history)) > GREW:
        return (
            f"the norm of the gradients had grown to {grew:.2g} times its median",
            "go back to a checkpoint, and take a smaller learning rate, or clip: fanin.clip_(model, norm=1.0)",
        )
    if history.begun:
        step, name = history.begun[-1]
        return f"{name} from step {step} on", f"go back to a checkpoint before step {step}, and remedy that first"
    if history.origin:
        inside = "keep what it is given where it has a value, as clamp(min=…) or a stable form like log_softmax do"
        return "nothing went wrong in the steps seen before", f"{inside}; if the input is to blame, look at the data"
    if history.kept_in:
        return (
            "made again with the batch of this process, the step is finite: another process had it, or it is chance",
            "go back to a checkpoint; what other processes kept lies beside, with the operation in step.json",
        )
    return "nothing grew in the steps seen before: an operation left its domain, the data holds it, or it was fast", (
        alarm.remedy
    )


def first_layer(record: Record) -> str:
    """Of the forward pass."""
    return next((x.path for x in record.signals.layers if x.value.non_finite), "")


def broken_gradients(record: Record) -> tuple[str, ...]:
    """Of parameters."""
    found = record.signals.parameters
    return tuple(p.path for p in found if p.gradient is not None and not math.isfinite(p.gradient))


def _growth(history: History) -> float:
    """The last finite norm over the median of those before."""
    known = [norm for _, norm in history.norms if math.isfinite(norm)]
    usual = sorted(known[:-1])[len(known[:-1]) // 2] if len(known) > 1 else 0.0
    return known[-1] / usual if usual else 1.0


ALARM = Alarm(
    code="N01",
    name="non-finite values",
    summary="The loss, a gradient or an activation is infinite or not a number.",
    page=__doc__,
    find=find,
    remedy="go back to a checkpoint; in PyTorch, fanin.watch(model, to=…, keep_step=True) then names the operation",
)
