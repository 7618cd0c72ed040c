"""A parameter's memory was never written.

## What it does
Looks for what old memory leaves and no law does: infinities, NaNs and numbers beyond 10¹⁰ in a parameter (an error);
numbers below the dtype's smallest normal one amid a random law, as addresses are that a memory allocator keeps at the
head of what was freed; and zeros amid random values, a page and more, that begin or end in the middle of a row
(warnings).

## Why it is bad
`torch.empty` and `to_empty` give memory as it was found. It may look well on one machine, with zeros, and hold a freed
tensor's values or a pointer's bits on another; no seed repeats it.

## Example
    model = model.to_empty(device="cuda")                # and no reset_parameters() after it

## Remedy
Initialize it: `fanin.initialize_(model, x)`, or `fanin.materialize_` for a model on the meta device.

## Known exceptions
Frozen parameters, such as masks of infinities; zeros in whole rows, columns or blocks; trained weights that decayed
below the normal numbers, which follow no random law. Memory that is all zeros is all that U01 can see; that of another
tensor of the same law cannot be told.

## Source
PyTorch, `torch.empty`, "uninitialized data"; `torch.nn.Module.to_empty`, "without copying storage".
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.diagnosis.sisters import draw_as_sisters
from fanin.graph import Parameter
from fanin.initializers import Keep, Structure
from fanin.plans import Plan
from fanin.signals import ParameterSignal

HUGE: Final = 1e10  # an address read as two float32 gives up to 10³⁸; no law and no training comes here
HUGE_HALF: Final = 2.0**14  # float16 ends at 65,504
SMALLEST: Final = {"float64": 2.0**-1022, "float32": 2.0**-126, "bfloat16": 2.0**-126}  # float16's are usual weights
NOTHING: Final = 1e-15  # root mean square: with numbers below the smallest normal one, bits that are no numbers
PATCH: Final = 0.9  # of all zeros lie in torn runs: zeros that are scattered are a sparse law's


class _Stale(NamedTuple):
    parameter: Parameter
    severity: Severity
    what: str


def _stale(evidence: Evidence) -> list[_Stale]:
    """The worst first, then in the order of the parameters."""
    signals = evidence.signals.parameters
    found = [
        _Stale(p, *seen)
        for p in evidence.graph.parameters
        if not p.frozen and p.path in signals and (seen := _seen(evidence, p, signals[p.path]))
    ]
    return sorted(found, key=lambda stale: stale.severity is not Severity.ERROR)


def _seen(evidence: Evidence, p: Parameter, signal: ParameterSignal) -> tuple[Severity, str] | None:
    """What shows that the parameter was never written."""
    value, stored = signal.value, signal.stored
    if value.non_finite > 0:
        return Severity.ERROR, f"{value.non_finite:.2%} of its values are infinite or not a number"
    if stored is None or value.mean**2 >= value.second_moment * (1 - 1e-9):  # a constant is written by someone
        return None
    huge, normal = HUGE_HALF if p.dtype == "float16" else HUGE, SMALLEST.get(p.dtype, 0.0)
    if stored.largest > huge:
        smallest = f"; others are as small as {stored.smallest:.1g}" if stored.smallest < 1 / HUGE else ""
        return Severity.ERROR, f"it has values up to {stored.largest:.1g}{smallest}"
    if stored.smallest < normal and (value.second_moment < NOTHING**2 or _is_random(evidence, p)):
        return (
            Severity.WARNING,
            f"it has values as small as {stored.smallest:.1g}, as no law gives and no training does",
        )
    if stored.torn and stored.torn >= PATCH * value.zeros * math.prod(p.shape):
        return Severity.WARNING, f"{stored.torn:,} zeros lie side by side in it, and end in the middle of a row"
    return None


def _is_random(evidence: Evidence, p: Parameter) -> bool:
    """Whether its values were recognised as those of a random law."""
    entry = evidence.laws[p.path] if evidence.laws else None
    if entry is None or isinstance(entry.initializer, Keep):
        return False
    return entry.initializer.law(entry.target).structure is not Structure.FIXED


def find(check: Check, evidence: Evidence) -> Finding | None:
    """The first such parameter, errors before warnings."""
    found = _stale(evidence)
    if not found:
        return None
    first = found[0]
    return check.finding(
        evidence,
        first.severity,
        first.parameter,
        what=f"{first.parameter.path} holds what was in memory before: {first.what}; {len(found)} parameter(s) are so",
        why="its memory was allocated and, it seems, never written (torch.empty, to_empty)",
        also=[stale.parameter.path for stale in found],
        uninitialized=len(found),
    )


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """The law of their sisters, or what recipe auto gives them."""
    return draw_as_sisters(plan, evidence, [stale.parameter.path for stale in _stale(evidence)])


CHECK = Check(
    code="W04",
    name="uninitialized memory",
    summary="A parameter's memory was never written.",
    page=__doc__,
    find=find,
    remedy=remedy,
    needs="a measurement",
    advice="initialize these parameters (recipe auto); if all are so, call fanin.initialize_ or fanin.materialize_",
    worse="larger",
)
