"""Most outputs of a bounded activation sit at a bound, where its slope is almost zero.

## What it does
Counts the outputs of tanh, sigmoid and the like within 1 % of their range from a bound: reported where more than half
are, at the first layer.

## Why it is bad
At a bound the derivative is near zero, and hardly any gradient reaches the weights.

## Remedy
Smaller weights from the start, Var(w) = 1/(φ'(0)² fan_avg); if it came up while training, a smaller learning rate or
weight decay.

## Known exceptions
A gate that learns to be open or closed; the last sigmoid of a classifier that is sure.

## Source
Glorot & Bengio 2010, section 3.
"""

from __future__ import annotations

from fanin.diagnosis import Finding
from fanin.diagnosis.checks.saturated import MOST
from fanin.diagnosis.model import Severity
from fanin.monitor.account import Record
from fanin.monitor.alarm import Alarm, History


def _stuck(record: Record) -> dict[str, tuple[str, float]]:
    """Path → the activation and its share at a bound."""
    seen = ((x.path, x.activated) for x in record.signals.layers if x.activated)
    return {path: (a.name, s) for path, a in seen if (s := a.value.saturated) is not None and s > MOST}


def find(alarm: Alarm, history: History) -> Finding | None:
    """The first layer of the model."""
    if history.record is None or not (stuck := _stuck(history.record)):
        return None
    path, (name, share) = next(iter(stuck.items()))
    since = history.first is not None and path in _stuck(history.first)
    return alarm.finding(
        Severity.ERROR if share > 0.75 and len(stuck) > 1 else Severity.WARNING,
        f"{share:.0%} of the outputs of {name} behind {path} are at a bound; {len(stuck)} layer(s) are so",
        "it started so" if since else "the weights grew, or their biases did",
        module=path,
        also=stuck,
        remedy="smaller weights: fanin.repair_(model, x, loss=loss)" if since else "",
        start_helps=since,
        saturated_share=share,
        saturated_layers=len(stuck),
    )


ALARM = Alarm(
    code="U02",
    name="saturated units",
    summary="Most outputs of a bounded activation sit at a bound, where its slope is almost zero.",
    page=__doc__,
    find=find,
    remedy="a smaller learning rate, or weight decay",
)
