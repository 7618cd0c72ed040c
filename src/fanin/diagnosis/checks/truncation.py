"""A truncated normal law whose cut cuts nothing, or leaves values far outside.

## What it does
Looks for values that lie exactly at one bound, at least twice, more than 6 root mean squares from 0 and with nothing
near them (a warning); and, where the model is said to follow a recipe, for truncated laws of it whose cuts lie 6 of
their sigmas away and farther (a note).

## Why it is bad
`torch.nn.init.trunc_normal_(w, std=0.02)` cuts at ±2, absolute: at 100 sigmas, that is not at all, where "truncated at
2σ" was meant; the difference is 12 % in the standard deviation. In float16 and bfloat16, drawing by the inverse of the
distribution can land on the bound itself: a few values of exactly −2 among weights of 0.02 raise the standard deviation
several times.

## Example
    torch.nn.init.trunc_normal_(weight.bfloat16(), std=0.02)      # now and then −2.0

## Remedy
Cuts in sigmas: `fanin.initializers.TruncatedNormal(std=0.02)`, whose std is the one that you get; with torch,
a=-2*std, b=2*std. For a weight with values at the bound, draw it anew, in float32 or by fanin.

## Known exceptions
Identities and other patterns of one number and 0. That a law is not cut can not be seen in its values alone.

## Source
pytorch/pytorch, documentation of `torch.nn.init.trunc_normal_`: a and b are "the minimum cutoff value", not in sigmas.
"""

from __future__ import annotations

from typing import Final

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.diagnosis.sisters import draw_as_sisters
from fanin.graph import Parameter
from fanin.initializers import CutNormal, Initializer, Keep, PerPart, Structure, TruncatedNormal, initializer
from fanin.plans import Entry, Plan

FAR: Final = 6.0  # sigmas, beyond which a normal law has two of 10⁹ values: a cut there cuts nothing
APART: Final = 1.5  # times the next largest value: the tail of a random law has no such gap before two equal values


def _stuck(evidence: Evidence) -> list[Parameter]:
    """Parameters with several values at one bound far outside of the others."""

    def stuck(p: Parameter) -> bool:
        seen = evidence.signals.parameters.get(p.path)
        if seen is None or seen.stored is None or seen.stored.at_largest < 2 or seen.value.zeros > 0.5:
            return False
        entry = evidence.laws[p.path] if evidence.laws else None
        known = entry is not None and not isinstance(entry.initializer, Keep)
        if known and entry and entry.initializer.law(entry.target).structure is Structure.FIXED:
            return False
        return 0 < APART * seen.stored.next_largest < seen.stored.largest

    return [p for p in evidence.graph.parameters if not p.frozen and stuck(p)]


def _uncut(evidence: Evidence) -> list[Entry]:
    """Truncated laws of the plan that is followed, whose cuts are far out."""
    return [entry for entry in evidence.follows or () if _cut(entry.initializer) >= FAR]


def _cut(what: Initializer) -> float:
    """In sigmas of the law that is cut, the nearer of the two; 0 of all others, which do not say that they cut."""
    if isinstance(what, PerPart):
        return _cut(initializer(what.each))
    if isinstance(what, TruncatedNormal):
        return min(-what.cuts[0], what.cuts[1])
    if isinstance(what, CutNormal):
        return min(what.mean - what.low, what.high - what.mean) / what.std
    return 0.0


def find(check: Check, evidence: Evidence) -> Finding | None:
    """Values at a bound before laws that are not cut."""
    if stuck := _stuck(evidence):
        first = stuck[0]
        seen = evidence.signals.parameters[first.path]
        assert seen.stored  # or it would not be among them
        std = seen.value.second_moment**0.5
        return check.finding(
            evidence,
            Severity.WARNING,
            first,
            what=f"{seen.stored.at_largest} values of {first.path} are exactly {seen.stored.largest:.4g} in size, "
            f"{seen.stored.largest / std:.3g} root mean squares from 0; all others are within "
            f"{seen.stored.next_largest:.3g}",
            why="a truncated law was cut at that bound, and values landed on it",
            also=[p.path for p in stuck],
            at_the_bound=seen.stored.at_largest,
            bound=seen.stored.largest,
            next_largest=seen.stored.next_largest,
        )
    if uncut := _uncut(evidence):
        cut = _cut(uncut[0].initializer)
        return check.finding(
            evidence,
            Severity.NOTE,
            uncut[0].parameter,
            what=f"{len(uncut)} truncated law(s) are cut at {cut:.3g} sigmas and more, that is not at all",
            why=f"{uncut[0].initializer}: its bounds are absolute, not in sigmas",
            also=[entry.parameter.path for entry in uncut],
            advice="if a cut is meant, give it in sigmas: TruncatedNormal(std=…), or a=-2*std, b=2*std",
            cut_in_sigmas=cut,
        )
    return None


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """Weights with values at a bound are drawn anew; laws that are not cut may be meant so."""
    return draw_as_sisters(plan, evidence, [p.path for p in _stuck(evidence)])


CHECK = Check(
    code="W02",
    name="truncation that does not truncate",
    summary="A truncated normal law whose cut cuts nothing, or leaves values far outside.",
    page=__doc__,
    find=find,
    remedy=remedy,
    advice="draw these weights anew, with cuts in sigmas (recipe auto, or TruncatedNormal)",
)
