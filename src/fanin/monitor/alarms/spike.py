"""The norm of the gradients jumps far above its usual size.

## What it does
Holds the norm of all gradients together against the median of those before, at least five: reported above ten times it.
In watched steps the norm is measured; give what `clip_grad_norm_` returns, `w.step(loss, norm)`, and every step counts,
with the norm as it was before clipping. A norm that grows while the loss falls is a net that begins to learn.

## Why it is bad
One step of ten times the size, straight up a wall of the loss, can undo many; of Adam, it spoils the second moments for
the next 1/(1 − β₂) steps.

## Remedy
Clip: torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm). Twice the median lets usual steps pass as they are,
and would have cut this one.

## Known exceptions
The very first steps of models whose last layer starts at 0, whose gradients grow from nothing.

## Source
Pascanu, Mikolov & Bengio 2013, section 3.2.
"""

from __future__ import annotations

import math
from statistics import median
from typing import Final

from fanin.diagnosis import Finding
from fanin.diagnosis.model import Severity
from fanin.monitor.alarm import Alarm, History

TIMES: Final = 10.0
ENOUGH: Final = 5  # norms before, for their median to mean something
PASS: Final = 2.0  # of the median: norms in a healthy run scatter by tens of percents around it


def find(alarm: Alarm, history: History) -> Finding | None:
    """The last norm against those before."""
    if len(history.norms) <= ENOUGH:
        return None
    *before, last = history.norms
    usual = median(before)
    if not (math.isfinite(last) and usual > 0 and last > TIMES * usual):
        return None
    if history.loss is not None and history.losses.now is not None and history.loss <= history.losses.now:
        return None
    threshold = _one_digit(PASS * usual)
    if history.record is not None and (clipped := history.record.clipped) is not None and clipped < 1 / PASS:
        return None  # it was cut, as it should be
    return alarm.finding(
        Severity.WARNING,
        f"the norm of the gradients is {last:.3g}, {last / usual:.0f} times its median of {usual:.3g}",
        "one batch, or a place where the loss is steep",
        remedy=f"clip: torch.nn.utils.clip_grad_norm_(model.parameters(), {threshold:g}) would have made this one "
        f"{last / threshold:.0f} times smaller and let the usual ones pass",
        gradient_norm=last,
        usual=usual,
        threshold=threshold,
    )


def _one_digit(x: float) -> float:
    return float(f"{x:.1g}")


ALARM = Alarm(
    code="T02",
    name="gradient spike",
    summary="The norm of the gradients jumps far above its usual size.",
    page=__doc__,
    find=find,
    remedy="torch.nn.utils.clip_grad_norm_",
)
