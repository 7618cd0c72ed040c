"""Updates are out of proportion to the weights.

## What it does
Holds the norm of each update against that of its weight, or against that of a usual start where the weight is smaller:
reported where one is above 0.3, or where all that change at all are below 10⁻⁶. Biases and norms are not judged.

## Why it is bad
A step as large as the weight replaces what was learned instead of improving it; one below a millionth of every weight
learns nothing in any number of steps that one can wait for.

## Remedy
Another learning rate, in the proportion that the numbers say; about 10⁻³ is usual.

## Known exceptions
Learning rates that a schedule has brought down at the end of training are small on purpose: said as a note.

## Source
Karpathy 2022, nn-zero-to-hero, "building makemore 3"; You et al. 2017 (LARS), section 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from fanin.diagnosis import Finding
from fanin.diagnosis.checks.first_step import LARGE, SMALL
from fanin.diagnosis.model import Severity
from fanin.monitor.account import Record
from fanin.monitor.alarm import Alarm, History

USUAL: Final = 1e-3
REACH: Final = 1e3  # times a learning rate; beyond it, something else is wrong


def find(alarm: Alarm, history: History) -> Finding | None:
    """The weight that moves most."""
    record = history.record
    if record is None or record.skipped or not (ratios := _ratios(record)):
        return None
    path = max(ratios, key=ratios.__getitem__)
    if large := [p for p, ratio in ratios.items() if ratio > LARGE]:
        what = f"the update changes {path} by {ratios[path]:.2g} of its size, {len(large)} weight(s) by over {LARGE:g}"
        return _found(alarm, record, path, what, also=large)
    if ratios[path] >= SMALL or history.step == 1:  # a warmup may begin with next to nothing
        return None
    what = f"no weight changes by more than {ratios[path]:.1g} of its size"
    if history.first is not None and max(_ratios(history.first).values(), default=0.0) >= SMALL:
        return alarm.finding(
            Severity.NOTE,
            f"{what} any more",
            "the learning rate, or the gradients, came down",
            parameter=path,
            remedy="nothing, if training is at its end; if the loss should still fall, see what the gradients do",
            update_ratio=ratios[path],
        )
    return _found(alarm, record, path, what)


def _found(alarm: Alarm, record: Record, path: str, what: str, also: Sequence[str] = ()) -> Finding:
    """Wrong at any time, with the rate that would do."""
    ratio, rates = _ratios(record)[path], record.signals.learning_rates
    factor = USUAL / ratio
    rate = f"a learning rate {factor:.1g} times as large"
    if len(rates) == 1:
        rate = f"a learning rate of about {float(f'{rates[0] * factor:.1g}'):g}"
    remedy = f"{rate}, which moves this weight by a thousandth at a step"
    if factor > REACH:
        remedy = "another start: gradients this small ask for more than a learning rate; fanin.diagnose says why"
    return alarm.finding(
        Severity.WARNING,
        what,
        f"learning rate {rates[0]:.3g}" if len(rates) == 1 else "the learning rate, or gradients out of the ordinary",
        parameter=path,
        also=also,
        remedy=remedy,
        update_ratio=ratio,
    )


def _ratios(record: Record) -> dict[str, float]:
    """Path → ‖Δw‖/‖w‖ of the weights that changed."""
    known = ((p.path, p.update_ratio) for p in record.signals.parameters if len(p.shape) > 1)
    return {path: ratio for path, ratio in known if ratio and math.isfinite(ratio)}


ALARM = Alarm(
    code="B03",
    name="update out of proportion",
    summary="Updates are out of proportion to the weights.",
    page=__doc__,
    find=find,
    remedy="another learning rate",
)
