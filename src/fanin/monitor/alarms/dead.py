"""Most units of a layer are 0 for all samples of a batch, or become so.

## What it does
Counts the units behind each activation that are 0 for every sample and position of a watched step, where there are at
least 16: reported above a half, if it is more than a tenth more than at the first step, or above nine tenths.

## Why it is bad
Where ReLU is 0, so is its slope: a unit that is 0 for all data gets no gradient and never changes again.

## Remedy
A smaller learning rate: a large step threw the biases below 0. A start with biases of zero; a leaky ReLU.

## Known exceptions
Units that a large batch finds alive and a small one does not: sparse features late in training. Watch with the batch
size that you train with.

## Source
Lu, Shin, Su & Karniadakis 2019, "Dying ReLU and initialization: theory and numerical examples".
"""

from __future__ import annotations

from typing import Final

from fanin.diagnosis import Finding
from fanin.diagnosis.model import Severity
from fanin.monitor.account import Record
from fanin.monitor.alarm import Alarm, History

MOST: Final = 0.5
NEARLY_ALL: Final = 0.9
GROWTH: Final = 0.1
SAMPLES: Final = 16  # a unit that speaks for one sample in five is 0 for all of sixteen in 3 % of the batches


def _shares(record: Record) -> dict[str, float]:
    seen = record.signals.layers
    return {x.path: x.activated.dead for x in seen if x.activated and x.activated.samples >= SAMPLES}


def find(alarm: Alarm, history: History) -> Finding | None:
    """The first layer of the model that has it."""
    if history.record is None:
        return None
    before = _shares(history.first) if history.first else {}
    now = _shares(history.record)
    found = {p: s for p, s in now.items() if s > NEARLY_ALL or (s > MOST and s > before.get(p, 0.0) + GROWTH)}
    if not found:
        return None
    path, share = next(iter(found.items()))
    since = before.get(path, 0.0) > NEARLY_ALL
    names = {x.path: x.activated.name for x in history.record.signals.layers if x.activated}
    return alarm.finding(
        Severity.ERROR if max(found.values()) == 1 else Severity.WARNING,
        f"{share:.0%} of the units of {names[path]} behind {path} are 0 for the whole batch, "
        f"{before.get(path, 0.0):.0%} were at the first step that was seen; {len(found)} layer(s) are so",
        "it started so" if since else "an update threw them below 0, or they are pushed there step by step",
        module=path,
        also=found,
        remedy="biases of zero and centred weights: fanin.repair_(model, x, loss=loss)" if since else "",
        start_helps=since,
        dead_share=share,
        dead_layers=len(found),
    )


ALARM = Alarm(
    code="U03",
    name="dead units",
    summary="Most units of a layer are 0 for all samples, or become so.",
    page=__doc__,
    find=find,
    remedy="a smaller learning rate or a warmup; a leaky ReLU, whose units come back",
)
