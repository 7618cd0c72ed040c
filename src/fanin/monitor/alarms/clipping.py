"""Gradients are clipped at almost every step.

## What it does
Counts the steps in which `fanin.clip_` made a gradient smaller, if `w.step(loss, clipped)` is given what it returned:
reported when 90 % of at least 100 were.

## Why it is bad
Clipping is for the rare step. Where every step is clipped, the threshold has become the learning rate: the size of a
gradient no longer says how far from done the training is, and SGD becomes its normalised cousin.

## Remedy
A threshold above the usual norm, or a smaller learning rate without one.

## Known exceptions
Large language models are often clipped at 1.0 from the first steps on, on purpose: a note.

## Source
Zhang, He, Sra & Jadbabaie 2020, "Why gradient clipping accelerates training", section 2.
"""

from __future__ import annotations

from statistics import median
from typing import Final

from fanin.diagnosis import Finding
from fanin.diagnosis.model import Severity
from fanin.monitor.alarm import Alarm, History

SHARE: Final = 0.9
ENOUGH: Final = 100


def find(alarm: Alarm, history: History) -> Finding | None:
    """When there are steps enough."""
    clipped, could = history.clipping
    if could < ENOUGH or clipped < SHARE * could:
        return None
    usual = f"; the norm before it is {median(norm for _, norm in history.norms):.3g}" if history.norms else ""
    return alarm.finding(
        Severity.NOTE,
        f"{clipped} of {could} steps were clipped{usual}",
        "the threshold lies below what gradients usually are",
        clipped_share=clipped / could,
    )


ALARM = Alarm(
    code="T05",
    name="always clipped",
    summary="Gradients are clipped at almost every step.",
    page=__doc__,
    find=find,
    remedy="a threshold above the usual norm; or none, and a smaller learning rate",
)
