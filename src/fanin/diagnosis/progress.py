"""What became of a finding: gone, clearly less, the same, or worse."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from fanin.diagnosis.check import Check
from fanin.diagnosis.model import Diagnosis, Finding, Severity

# Of what it was. Another seed moves the logarithm of a trend by σ = √(5 L/n), 1.25 at 40 layers of 128 units (Hanin &
# Nica 2020), and the smallest trend that is reported is log 1e4 = 9.2, of which half is 3.7 σ. Shares move less.
CLEARLY: Final = 0.5
ORDER: Final = (Severity.NOTE, Severity.WARNING, Severity.ERROR)


class Progress(StrEnum):
    """Of one finding, from one start to another."""

    GONE = "gone"
    LESS = "less"
    SAME = "same"
    WORSE = "worse"


def progress(check: Check, before: Finding, after: Finding | None) -> Progress:
    """By severity, by the number that the finding is about, and by how many places have it; worse in one is worse."""
    if after is None:
        return Progress.GONE
    sizes = [(badness(check, before), badness(check, after)), (len(before.affected), len(after.affected))]
    steps = [_rank(before) - _rank(after), *((a <= CLEARLY * b) - (b <= CLEARLY * a) for b, a in sizes if b != a)]
    if min(steps) < 0:
        return Progress.WORSE
    return Progress.LESS if max(steps) > 0 else Progress.SAME


def harm(before: Diagnosis, after: Diagnosis, checks: Mapping[str, Check]) -> tuple[Finding, ...]:
    """Errors and warnings that are there only after, or are worse than they were."""
    old = {f.code: f for f in before}
    return tuple(
        f
        for f in after
        if f.severity is not Severity.NOTE
        and (f.code not in old or progress(checks[f.code], old[f.code], f) is Progress.WORSE)
    )


def _rank(finding: Finding) -> int:
    return ORDER.index(finding.severity)


def badness(check: Check, finding: Finding) -> float:
    """The number that the finding is about, turned so that larger is worse; 0 where none is known, ∞ for NaN."""
    if check.worse is None or not finding.evidence:
        return 0.0
    x = abs(next(iter(finding.evidence.values())))
    if math.isnan(x):
        return math.inf
    match check.worse:
        case "larger":
            return x
        case "smaller":
            return 1 / x if x else math.inf
        case "farther from 1":
            return abs(math.log(x)) if x else math.inf
