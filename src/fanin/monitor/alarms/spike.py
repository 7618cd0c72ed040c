"""The norm of the gradients jumps far above its usual size.

## What it does
Holds the norm of all gradients together against the median of up to 25 before, at least five: reported above ten times
it. In watched steps the norm is measured; give what `fanin.clip_` or `clip_grad_norm_` returns, `w.step(loss, norm)`,
and every step counts, with the norm as it was before clipping. Between watched steps that lie apart, a net that begins
to learn has gradients that grow, too: there the loss must be out of its usual range as well.

## Why it is bad
One step of ten times the size, straight up a wall of the loss, can undo many; of Adam, it spoils the second moments for
the next 1/(1 − β₂) steps.

## Remedy
Clip: fanin.clip_(model, norm=…). Twice the median lets usual steps pass as they are,
and would have cut this one.

## Known exceptions
The very first steps of models whose last layer starts at 0, whose gradients grow from nothing.

## Source
Pascanu, Mikolov & Bengio 2013, section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Final

from fanin.diagnosis import Finding
from fanin.diagnosis.model import Severity
from fanin.monitor.alarm import Alarm, History

TIMES: Final = 10.0
BEFORE: Final = 25
ENOUGH: Final = 5  # norms before, for their median to mean something
SCATTERS: Final = 4.5  # a median absolute deviation is 0.67 σ: 3 σ
PASS: Final = 2.0  # of the median: norms in a healthy run scatter by tens of percents around it


def find(alarm: Alarm, history: History) -> Finding | None:
    """The last norm against those before."""
    seen = history.norms[-BEFORE - 1 :]
    if len(seen) <= ENOUGH:
        return None
    *before, last = (norm for _, norm in seen)
    usual = median(before)
    if not (math.isfinite(last) and usual > 0 and last > TIMES * usual) or not (_close(seen) or _high(history)):
        return None
    threshold = _one_digit(PASS * usual)
    if history.record is not None and (clipped := history.record.clipped) is not None and clipped < 1 / PASS:
        return None  # it was cut, as it should be
    return alarm.finding(
        Severity.WARNING,
        f"the norm of the gradients is {last:.3g}, {last / usual:.0f} times its median of {usual:.3g}",
        "one batch, or a place where the loss is steep",
        remedy=f"clip: fanin.clip_(model, norm={threshold:g}) would have made this one "
        f"{last / threshold:.0f} times smaller and let the usual ones pass",
        gradient_norm=last,
        usual=usual,
        threshold=threshold,
    )


def _close(seen: Sequence[tuple[int, float]]) -> bool:
    """The last norms are those of steps one after the other."""
    (start, _), *_, (end, _) = seen[-ENOUGH - 1 :]
    return end - start == ENOUGH


def _high(history: History) -> bool:
    """The loss is farther above the last ones than they scatter."""
    now = history.losses.now
    return history.loss is None or now is None or history.loss > now + SCATTERS * history.losses.scatter


def _one_digit(x: float) -> float:
    return float(f"{x:.1g}")


ALARM = Alarm(
    code="T02",
    name="gradient spike",
    summary="The norm of the gradients jumps far above its usual size.",
    page=__doc__,
    find=find,
    remedy="fanin.clip_(model, norm=…)",
)
