"""Gradients came back at the first step, and no weight changed.

## What it does
Compares all weights before and after the first step: reported if not a single one changed though there are gradients,
unless the learning rate is known to be 0.

## Why it is bad
Either nothing is learned, or updates are seen a step late, beside the gradients of the next one.

## Remedy
Call `w.step(loss)` behind `optimizer.step()`. If it is, look at what the optimizer was given: parameters of another
model, or a copy made before `.to(device)`.

## Known exceptions
A warmup that begins at a learning rate of 0; give the optimizer, and it is seen: a note.

## Source
torch.optim.Optimizer changes those tensors that it was built with, and no others.
"""

from __future__ import annotations

from fanin.diagnosis import Finding
from fanin.diagnosis.model import Severity
from fanin.monitor.alarm import Alarm, History


def find(alarm: Alarm, history: History) -> Finding | None:
    """At the first step."""
    record = history.record
    if record is None or record.step != 1 or record.skipped or record.signals.updated:
        return None
    rates = record.signals.learning_rates
    if not record.signals.gradient_norm or (rates and not any(rates)):
        return None
    return alarm.finding(
        Severity.NOTE,
        f"no weight changed in the first step; the norm of the gradients is {record.signals.gradient_norm:.3g}",
        "w.step is called before optimizer.step, or the optimizer has other parameters, or a learning rate of 0",
        gradient_norm=record.signals.gradient_norm,
    )


ALARM = Alarm(
    code="T06",
    name="nothing updated",
    summary="Gradients came back at the first step, and no weight changed.",
    page=__doc__,
    find=find,
    remedy="call w.step(loss) behind optimizer.step(); look at which parameters the optimizer was built with",
)
