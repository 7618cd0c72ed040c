"""How large the signal is at the end depends on the seed: a deep net of independent weights is narrow for its depth.

## What it does
Takes the predicted band in which the second moment of the last layers lies in 8 of 10 draws of the weights. Reports
where it is wider than ×9 either way, ×3 in amplitude, from some layer on. Weights that are not independent draws, such
as orthogonal or mirrored ones, keep sizes far better than the band says, and are not judged.

## Why it is bad
One seed in five starts with a signal more than 3 times too large or too small, and gradients likewise: results differ
from seed to seed, and a learning rate that suits one does not suit another. The logarithm of the second moment has a
variance of about 5 L/n for L layers of n units with ReLU; activations whose E φ² grows faster than its input, such as
GELU and SiLU, multiply it layer by layer.

## Example
    100 layers of 100 units, ReLU, He's normal law

## Remedy
Orthogonal weights, mirrored for ReLU (recipe auto); or wider layers, a norm, residual connections.

## Known exceptions
The seed at hand may be a good one: this is about the next. Nets with norms or residual connections do not have it.

## Source
Hanin & Nica 2020; Hanin & Rolnick 2018.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from fanin.diagnosis.check import Check
from fanin.diagnosis.checks.alike import lost_of, points_of, told_apart, without_readouts
from fanin.diagnosis.checks.trend import NOTICEABLE
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.diagnosis.remedies import fit_all_to_activations
from fanin.initializers import Structure
from fanin.plans import Entry, Plan
from fanin.plans.model import writes
from fanin.signals import LayerSignal

# In second moments, ×3 in amplitude: 1.28 standard deviations of log q are ln 9 at 5 L/n = 2.9, a ReLU net more than
# half as deep as it is wide. 20 layers of 64 units have ×4, 100 of 100 have ×16.
WIDE: Final = 9.0


@dataclass(frozen=True)
class Swing:
    """A layer with the √ of p90/p10 of its second moment: how far it is off, either way, in one seed of five."""

    seen: LayerSignal
    either_way: float


def _swings(evidence: Evidence) -> list[Swing]:
    """The last layers before the readout, all of which swing; empty if any weight is not drawn independently."""
    if evidence.predicted is None or evidence.laws is None:
        return []
    before = without_readouts(evidence)
    if not all(_independent(evidence.laws[seen.layer.weight]) for seen in before):
        return []
    bands = [(s, m.band) for s in before if (m := evidence.predicted.values.get(s.layer.output.name)) and m.band]
    found = [Swing(seen, math.sqrt(high / low)) for seen, (low, high) in bands if low > 0 and math.isfinite(high)]
    return list(reversed(list(takewhile(lambda swing: swing.either_way > WIDE, reversed(found)))))


def _independent(entry: Entry) -> bool:
    return writes(entry) and entry.initializer.law(entry.target).structure is Structure.INDEPENDENT


def find(check: Check, evidence: Evidence) -> Finding | None:
    """A warning if this start is far off itself; else a note."""
    found = _swings(evidence)
    if not found or lost_of(
        told_apart(points_of(evidence, tokens=False)), 1 / NOTICEABLE
    ):  # where biases decide, no seed matters
        return None
    first, last = evidence.layers[0].value.second_moment, found[-1].seen.value.second_moment
    ratio = last / first if first > 0 else math.nan
    well = evidence.measured and 1 / WIDE <= ratio <= WIDE
    here = f"; here it is {ratio:.2g} of the first layer's" if evidence.measured else ""
    return check.finding(
        evidence,
        Severity.NOTE if well else Severity.WARNING,
        found[0].seen,
        what=f"one seed in five is off by more than ×{found[-1].either_way:.2g} in the second moment of the last "
        f"layer, ×{math.sqrt(found[-1].either_way):.2g} in its size{here}",
        why=f"{found[-1].seen.layer.index} layers of independent weights multiply what chance does in each",
        either_way=found[-1].either_way,
        measured_ratio=ratio,
    )


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """Weights that keep what they are given, not on average but for every input."""
    return fit_all_to_activations(plan, evidence)


CHECK = Check(
    code="F08",
    name="sensitive start",
    summary="How large the signal is at the end depends on the seed.",
    page=__doc__,
    find=find,
    remedy=remedy,
    advice="orthogonal weights, mirrored for ReLU (recipe auto), or change the architecture: wider layers, or a norm",
    needs="the laws of the weights",
    worse="farther from 1",
)
