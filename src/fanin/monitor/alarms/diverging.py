"""The loss goes up and stays up.

## What it does
Holds the median of the last nine losses against the lowest there was: reported when four fifths of what had been gained
are lost again, by more than eight times the scatter of the losses and more than a tenth of their size.

## Why it is bad
A batch that is out of the ordinary does not move a median; what is lost for nine steps seldom comes back by itself, and
the weights have left the place that the start and the training had found.

## Remedy
A smaller learning rate or a warmup; clipping, if the norm of the gradients has spikes.

## Known exceptions
Losses that are meant to go up: of a generator against its discriminator, or of a curriculum that gets harder.

## Source
Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks".
"""

from __future__ import annotations

from typing import Final

from fanin.diagnosis import Finding
from fanin.diagnosis.model import Severity
from fanin.monitor.alarm import Alarm, History

LOST: Final = 0.8
SCATTERS: Final = 8.0  # a median absolute deviation is 0.67 σ, and the median of nine has 0.4 σ: 13 of its own σ
SIZE: Final = 0.1


def find(alarm: Alarm, history: History) -> Finding | None:
    """At the step where it is so."""
    trend = history.losses
    if trend.now is None or trend.first is None:
        return None
    rise = trend.now - trend.best
    if rise <= max(LOST * (trend.first - trend.best), SCATTERS * trend.scatter, SIZE * abs(trend.best)):
        return None
    return alarm.finding(
        Severity.ERROR if trend.now > trend.first else Severity.WARNING,
        f"the loss, a median of nine, is {trend.now:.3g}; it had come from {trend.first:.3g} down to {trend.best:.3g}",
        "updates are too large for where the weights are"
        if history.step > 20
        else "it went up from the first steps on",
        start_helps=history.step <= 20,
        loss=trend.now,
        lowest=trend.best,
    )


ALARM = Alarm(
    code="T01",
    name="diverging loss",
    summary="The loss goes up and stays up.",
    page=__doc__,
    find=find,
    remedy="a smaller learning rate, or a warmup; if gradients have spikes, fanin.clip_(model, norm=…)",
)
