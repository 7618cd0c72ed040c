"""A parameter does not start as its recipe, or as its sister layers, say.

## What it does
Compares the law that each parameter's values show with the one that is expected of it: by the recipe or plan that the
caller names, `diagnose(model, x, follows="gpt2")`; else by its sisters, weights of one shape and role whose paths
differ in one number, if at least four in all and three quarters of them agree. Differences that chance explains do not
count (6 standard errors), nor do those of less than a quarter between sisters.

## Why it is bad
An initializer that is silently not applied leaves no error: one layer of twelve keeps its constructor's values, or the
1/√(2 L) of GPT-2's residual weights is never written, and the stream grows by √(2 L) more than the paper's.

## Example
    for name, p in model.named_parameters():
        if name.endswith("c_proj.weigth"): torch.nn.init.normal_(p, std=0.02 / math.sqrt(2 * depth))   # never true

## Remedy
The law of the recipe; without one, that of the sisters.

## Known exceptions
Scales that depend on depth by design, as Fixup's or 1/√(layer + 1): there, most sisters do not agree. The first and the
last of the sisters may have a law of their own: a note. What the recipe keeps is not compared.

## Source
huggingface/transformers#47458 (GPT-2's scaled initialization is not applied); Radford et al. 2019, section 2.3.
"""

from __future__ import annotations

import math

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.diagnosis.sisters import odd_ones
from fanin.initializers import Keep
from fanin.plans import Decision, Plan
from fanin.plans.diff import Change


def _not_followed(evidence: Evidence) -> list[Change]:
    """What starts otherwise than the plan says that the model follows."""
    if evidence.follows is None or evidence.laws is None:
        return []

    def judged(change: Change) -> bool:
        here, there = change.here, change.there
        if here is None or there is None or here.measured is None or isinstance(there.initializer, Keep):
            return False
        return not math.isnan(there.std)  # of a file of weights that nobody opened

    return [change for change in evidence.laws.diff(evidence.follows) if judged(change)]


def find(check: Check, evidence: Evidence) -> Finding | None:
    """Against what is said of the model; where nothing is said, against the sisters."""
    if evidence.follows is not None:
        return _against_the_plan(check, evidence, evidence.follows)
    return _against_sisters(check, evidence)


def _against_the_plan(check: Check, evidence: Evidence, follows: Plan) -> Finding | None:
    found = _not_followed(evidence)
    if not found:
        return None
    first = max(found, key=lambda change: _size(change.ratio))
    assert first.here  # both have it
    assert first.there
    return check.finding(
        evidence,
        Severity.WARNING,
        first.here.parameter,
        what=f"{len(found)} of {len(evidence.graph.parameters)} parameters do not start as {follows.recipe} says: "
        f"{first.path} has std {first.here.std:.3g}, where {first.there.std:.3g} is expected",
        why=f"expected: {first.there.initializer} ({first.there.why}); its values: {first.here.why}",
        also=[change.path for change in found],
        advice=f"initialize these parameters as {follows.recipe} says",
        differing=len(found),
        std=first.here.std,
        expected_std=first.there.std,
        ratio=first.ratio,
    )


def _against_sisters(check: Check, evidence: Evidence) -> Finding | None:
    found = odd_ones(evidence)
    if not found:
        return None
    inside = [odd for odd in found if not odd.at_an_end]
    first = max(inside or found, key=lambda odd: _size(odd.ratio))
    own, theirs = first.entry.measured, first.usual.measured
    assert own  # or they could not have been compared
    assert theirs
    where = "" if inside else "; it is at an end of them, where that may be meant"
    return check.finding(
        evidence,
        Severity.WARNING if inside else Severity.NOTE,
        first.entry.parameter,
        what=f"{first.entry.parameter.path} starts with mean {own.mean:.2g} and std {own.std:.3g}, where "
        f"{first.sisters} sisters have {theirs.mean:.2g} and {theirs.std:.3g}; {len(found)} parameter(s) are so{where}",
        why=f"its sisters are {first.usual.initializer}; {first.entry.why}",
        also=[odd.entry.parameter.path for odd in (*inside, *found)],
        advice="give it the law of its sisters, if no paper says otherwise",
        odd=len(found),
        sisters=first.sisters,
        std=own.std,
        expected_std=theirs.std,
        ratio=first.ratio,
    )


def _size(ratio: float) -> float:
    """How far from 1, either way."""
    return abs(math.log(ratio)) if ratio > 0 and math.isfinite(ratio) else math.inf


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """The expected law for each parameter that has another."""
    if evidence.follows is not None:
        expected = [change.there for change in _not_followed(evidence) if change.there]
        return plan.decide({e.parameter.path: Decision(e.initializer, e.why, e.source) for e in expected})
    odd = [odd for odd in odd_ones(evidence) if not isinstance(odd.usual.initializer, Keep)]
    return plan.decide({one.entry.parameter.path: one.decision for one in odd})


CHECK = Check(
    code="W01",
    name="wrong law",
    summary="A parameter does not start as its recipe, or as its sister layers, say.",
    page=__doc__,
    find=find,
    remedy=remedy,
    advice="initialize these parameters as expected",
    worse="larger",
)
