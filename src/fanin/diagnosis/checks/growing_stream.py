"""A residual stream multiplies from block to block, since each branch adds as much as the stream has.

## What it does
Follows the second moment of each residual stream over its additions. Reports a stream that has grown by 100 or more and
whose branches, over its second half, still add half of what the stream has or more. Above 1e4 it is F02 too, and here
only a note.

## Why it is bad
A branch that keeps its input's size adds to the stream what the stream has: the second moment doubles at each block, to
2^N. The last blocks carry all of the output, its logits are large, and a step changes them by as much.

## Example
    x = x + self.second(torch.relu(self.first(torch.relu(x))))          # He in both, no norm

## Remedy
The last weight of each branch times 1/√N, N branches to the stream (or 0): together they then add what the stream has.

## Known exceptions
A stream with a norm at the start of each branch grows by the same amount at each block, not by the same factor: its
later branches add ever smaller shares, and it is not reported, nor is one that a norm after each sum holds.

## Source
Zhang, Dauphin & Ma 2019 (Fixup), section 2; De & Smith 2020, section 3; Brock et al. 2021.
"""

from __future__ import annotations

from typing import Final

from fanin.diagnosis.check import Check
from fanin.diagnosis.checks.additions import Addition, additions_of, fit_branches
from fanin.diagnosis.checks.trend import NOTICEABLE
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.plans import Plan

GROWN: Final = 100.0  # a factor of 10 in the logits: seven blocks that double
SHARE: Final = 0.5  # of the stream, added at each: × 1.5 a block; a stream that grows by sums has 1/l at block l
FEWEST: Final = 3  # additions that make a trend


def _total(stream: list[Addition]) -> float:
    """What comes to the last addition over what came to the first: 1 where a norm follows each."""
    return stream[-1].stream / stream[0].stream if stream[0].stream > 0 else 0.0


def _growing(evidence: Evidence) -> list[list[Addition]]:
    """The streams that multiply."""
    return [
        stream
        for stream in additions_of(evidence).values()
        if len(stream) >= FEWEST
        and _total(stream) > GROWN
        and all(a.ratio >= SHARE for a in stream[len(stream) // 2 :])
    ]


def find(check: Check, evidence: Evidence) -> Finding | None:
    """The stream that has grown most."""
    found = _growing(evidence)
    if not found:
        return None
    stream = max(found, key=_total)
    total = _total(stream)
    factor = total ** (1 / (len(stream) - 1))
    return check.finding(
        evidence,
        Severity.NOTE if total > NOTICEABLE else Severity.WARNING,
        stream[0].node,
        what=f"the second moment of the residual stream grows by ×{factor:.3g} at each of {len(stream)} additions, "
        f"×{total:.3g} in all",
        why=f"each branch adds {min(a.ratio for a in stream):.2g} … {max(a.ratio for a in stream):.2g} of what the "
        f"stream has, where 1/N = {1 / len(stream):.2g} was to be added",
        also=[a.node.module for a in stream],
        total_ratio=total,
        ratio_per_addition=factor,
        additions=len(stream),
    )


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """Branches that end with 1/√N of their gain."""
    return fit_branches(plan, evidence, [a for stream in _growing(evidence) for a in stream])


CHECK = Check(
    code="F05",
    name="growing residual stream",
    summary="A residual stream multiplies from block to block, since each branch adds as much as the stream has.",
    page=__doc__,
    find=find,
    remedy=remedy,
    advice="scale the last weight of each branch by 1/√N, N branches to the stream (recipe auto)",
    worse="farther from 1",
)
