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
from typing import Final

from fanin.diagnosis import Finding
from fanin.diagnosis.checks.first_step import LARGE, SMALL
from fanin.diagnosis.model import Severity
from fanin.monitor.alarm import Alarm, History

USUAL: Final = 1e-3


def find(alarm: Alarm, history: History) -> Finding | None:
    """The weight that moves most."""
    record = history.record
    if record is None or record.skipped:
        return None
    judged = {p.path: p.update_ratio for p in record.signals.parameters if len(p.shape) > 1 and p.update_ratio}
    ratios = {path: ratio for path, ratio in judged.items() if ratio and math.isfinite(ratio)}
    if not ratios:
        return None
    path = max(ratios, key=ratios.__getitem__)
    ratio = ratios[path]
    large = [p for p, r in ratios.items() if r > LARGE]
    if not large and ratio >= SMALL:
        return None
    rates = record.signals.learning_rates
    rate = f"a learning rate of about {float(f'{rates[0] * USUAL / ratio:.1g}'):g}" if len(rates) == 1 else alarm.remedy
    falling = not large and history.first is not None and history.first.update_ratio is not None
    was_larger = falling and (history.first.update_ratio or 0.0) > SMALL  # type: ignore[union-attr]
    if large:
        what = (
            f"the update changes {path} by {ratio:.2g} of its size, and {len(large)} weight(s) by more than {LARGE:g}"
        )
    else:
        what = f"no weight changes by more than {ratio:.1g} of its size"
    return alarm.finding(
        Severity.NOTE if was_larger else Severity.WARNING,
        what,
        f"learning rate {rates[0]:.3g}" if len(rates) == 1 else "the learning rate, or gradients out of the ordinary",
        parameter=path,
        also=large,
        remedy=f"{rate}, which moves this weight by a thousandth at a step",
        update_ratio=ratio,
    )


ALARM = Alarm(
    code="B03",
    name="update out of proportion",
    summary="Updates are out of proportion to the weights.",
    page=__doc__,
    find=find,
    remedy="another learning rate",
)
