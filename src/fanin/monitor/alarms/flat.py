"""The loss does not fall.

## What it does
After 200 steps, holds the lowest median of nine losses in a row against that of the first nine: a warning where it is
lower by less than a hundredth, a note where it is by more, but by less than six times the scatter of the losses.

## Why it is bad
Nothing is learned, and each further step costs as much as one that learns.

## Remedy
Another start, if gradients do not reach the first layers: `fanin.diagnose` says so. Else a larger learning rate; or
labels that do not belong to their inputs. A net that learns one batch by heart shows which of these it is.

## Known exceptions
Rewards, adversarial losses, and training that goes on from a checkpoint where the loss is as low as it gets.

## Source
Goodfellow, Bengio & Courville 2016, Deep Learning, section 11.5: fit a tiny data set.
"""

from __future__ import annotations

from typing import Final

from fanin.diagnosis import Finding
from fanin.diagnosis.model import Severity
from fanin.monitor.alarm import Alarm, History

STEPS: Final = 200
# The median of nine has 0.4 σ. In 200 steps of pure noise the lowest lies 2.6 of that below the mean, and the first may
# lie 2 above it: 1.9 σ, that is 3 median absolute deviations.
SCATTERS: Final = 6.0
SIZE: Final = 0.01


def find(alarm: Alarm, history: History) -> Finding | None:
    """At the step where it is so long enough."""
    trend = history.losses
    if history.step < STEPS or trend.first is None:
        return None
    fell, hundredth = trend.first - trend.best, SIZE * abs(trend.first)
    if fell >= max(SCATTERS * trend.scatter, hundredth):
        return None
    return alarm.finding(
        Severity.WARNING if fell < hundredth else Severity.NOTE,
        f"after {history.step} steps, the loss has come from {trend.first:.4g} down to {trend.best:.4g} at its lowest; "
        f"it scatters by {trend.scatter:.2g}",
        "updates do not reach what the loss depends on, or are too small for it",
        loss_fell=fell,
        loss=trend.first,
    )


ALARM = Alarm(
    code="T04",
    name="flat loss",
    summary="The loss does not fall.",
    page=__doc__,
    find=find,
    remedy="fanin.diagnose(model, x, loss=loss) on a batch; if it is healthy, a larger learning rate, then the labels",
)
