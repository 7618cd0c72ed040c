"""There are no gradients to look at when a step ends.

## What it does
Reports a watched step in which no parameter has a gradient.

## Why it is bad
Either nothing is learned, or the gradients are taken away before they are seen.

## Remedy
Call `w.step(loss)` before `optimizer.zero_grad()`, or give the optimizer, `fanin.watch(model, optimizer=optimizer)`:
then gradients are read as it gets them, whatever the order.

## Source
torch.optim.Optimizer.zero_grad sets gradients to None.
"""

from __future__ import annotations

from fanin.diagnosis import Finding
from fanin.diagnosis.model import Severity
from fanin.monitor.alarm import Alarm, History


def find(alarm: Alarm, history: History) -> Finding | None:
    """In a watched step."""
    seen = history.record.signals if history.record else None
    if seen is None or seen.gradient_norm is not None or not seen.gradients_seen:
        return None
    moved = seen.updated
    return alarm.finding(
        Severity.NOTE if moved else Severity.WARNING,
        "no parameter has a gradient at the end of the step" + ("" if moved else ", and none of them changed"),
        "zero_grad was called before w.step"
        if moved
        else "there was no backward pass, or nothing in it is this model's",
    )


ALARM = Alarm(
    code="T03",
    name="no gradients seen",
    summary="There are no gradients to look at when a step ends.",
    page=__doc__,
    find=find,
    remedy="call w.step(loss) before optimizer.zero_grad(), or give fanin.watch(model, optimizer=optimizer)",
)
