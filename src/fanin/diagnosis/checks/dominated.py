"""Of a residual addition x + f(x), one side is nothing beside the other.

## What it does
Compares the second moments of branch and stream at each addition. A branch below 1e-6 of the stream is shut, and it is
a fault if so little reaches its last weights, too; a stream of which every branch is above 100 times what it is added
to is drowned.

## Why it is bad
A drowned stream is no residual connection: the net is as hard to train as one without. A branch that is shut learns
slowly: the gradient of its weights is as small as what it adds, and if two factors in a row are 0 it never opens.

## Example
    for layer in block: torch.nn.init.normal_(layer.weight)          # post-norm, width 512: f is 500 times x

## Remedy
The gains of what the weights of the branch feed, and 1/√N at its end, N branches to the stream.

## Known exceptions
A zero-init branch is by design: it opens after one step, when its last weight, its scale or its norm's gain has moved.
So are the small scales of LayerScale, and small weights at the end. All are a note. A branch with two zeros in a row is
not: nothing moves.

## Source
He et al. 2016; Goyal et al. 2017, section 5.1; De & Smith 2020; Touvron et al. 2021 (LayerScale).
"""

from __future__ import annotations

from typing import Final

from fanin.diagnosis.check import Check
from fanin.diagnosis.checks.additions import Addition, additions_of, fit_branches, parameters_in
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.graph import Role
from fanin.plans import Plan

SHUT: Final = 1e-6  # a thousandth in amplitude
DROWNED: Final = 100.0  # a tenth of the sum's amplitude is what came in
FEWEST: Final = 3  # additions: the first of a stream may well be large beside an embedding of std 0.02
SCALES: Final = frozenset({Role.LAYER_SCALE, Role.NORM_SCALE, Role.SCALE})


def _shut(evidence: Evidence) -> list[Addition]:
    return [a for stream in additions_of(evidence).values() for a in stream if a.ratio < SHUT]


def _drowned(evidence: Evidence) -> list[Addition]:
    streams = [s for s in additions_of(evidence).values() if len(s) >= FEWEST]
    return [a for stream in streams if all(a.ratio > DROWNED for a in stream) for a in stream]


def _by_design(evidence: Evidence, addition: Addition) -> bool:
    """Exactly 0, or behind a scale that is small, or by its last weights alone, which then get a gradient at once."""
    if addition.added == 0 or _heard(evidence, addition) >= SHUT * addition.stream:
        return True
    scales = [p for p in parameters_in(evidence, addition.branch) if SCALES.intersection(p.roles)]
    return any(evidence.signals.parameters[p.path].value.second_moment < SHUT**0.5 for p in scales)


def _heard(evidence: Evidence, addition: Addition) -> float:
    """The second moment of what the branch's last weights are given."""
    values = evidence.signals.values
    given = [name for last in addition.branch.last for name in evidence.paths.sources[last] if name in values]
    return max((values[name].second_moment for name in given), default=0.0)


def _never_opens(evidence: Evidence, addition: Addition) -> bool:
    """A gradient arrives at the addition, and none at any parameter of the branch."""
    arrives = evidence.signals.gradients.get(addition.node.name)
    signals = [evidence.signals.parameters[p.path] for p in parameters_in(evidence, addition.branch) if not p.frozen]
    moved = any(s.gradient is not None and s.gradient.second_moment != 0 for s in signals)
    return addition.added == 0 and arrives is not None and arrives.second_moment > 0 and bool(signals) and not moved


def _wrong(evidence: Evidence) -> list[Addition]:
    """What a start should change: all but what is shut by design."""
    shut = [a for a in _shut(evidence) if _never_opens(evidence, a) or not _by_design(evidence, a)]
    return shut + _drowned(evidence)


def find(check: Check, evidence: Evidence) -> Finding | None:
    """What is wrong first; if nothing is, what is shut by design."""
    wrong, shut = _wrong(evidence), _shut(evidence)
    if not wrong and not shut:
        return None
    first = (wrong or shut)[0]
    same = [a for a in (wrong or shut) if (a.ratio < SHUT) == (first.ratio < SHUT)]
    ends = ", ".join(path for name in first.branch.last for path in evidence.paths.weights[name])
    if first.ratio >= SHUT:
        severity, advice = Severity.WARNING, ""
        what = f"every branch of the stream is {min(a.ratio for a in same):.3g} times what it is added to, or more"
        why = f"the branch ends in {ends}, which is too wide: what comes in hardly reaches the sum"
    elif not wrong:
        severity, advice = Severity.NOTE, "nothing, if it is meant so"
        what = f"{len(same)} residual branch(es) add {f'{first.ratio:.1e} of the stream' if first.added else 'nothing'}"
        why = "zero-init branch: by design, opens after one step"
        if first.added:
            why = "only its last factor is small: by design, it grows as it is trained"
    elif _never_opens(evidence, first):
        severity, advice = Severity.ERROR, "draw one of the two factors that are 0 at random, or start it at 1"
        what = (
            f"a residual branch adds nothing, and none of its parameters gets a gradient; {len(same)} branch(es) are so"
        )
        why = f"two factors in a row are 0, up to {ends}: each waits for the other"
    else:
        severity, advice = Severity.WARNING, ""
        what = f"a residual branch adds {first.ratio:.1e} of what the stream has; {len(same)} branch(es) are so"
        why = f"the branch ends in {ends}, and all of its weights are too small: each waits for the others"
    return check.finding(
        evidence,
        severity,
        first.node,
        what=what,
        why=why,
        also=[a.node.module for a in same],
        advice=advice,
        ratio=first.ratio,
        branches=len(same),
    )


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """The weights of the branches as auto has them, but for those that are shut by design."""
    return fit_branches(plan, evidence, _wrong(evidence))


CHECK = Check(
    code="F06",
    name="dominated branch",
    summary="Of a residual addition x + f(x), one side is nothing beside the other.",
    page=__doc__,
    find=find,
    remedy=remedy,
    advice="give the branch's weights the gains of what they feed, and 1/√N at its end (recipe auto)",
    worse="farther from 1",
)
