"""Values of a layer lie at an end of what their dtype can hold, or would in float16.

## What it does
Looks at the output of each layer in the dtype that it has. In float16 it reports values above 32,768, half of the
largest number, and layers of which most values are subnormal: below 2⁻¹⁴, where digits are lost, down to 2⁻²⁴, where
nothing is left. In bfloat16 and float32 the ends are those of 127 and of −126 powers of two. A layer in float32 that
float16 could not hold is noted.

## Why it is bad
Beyond the largest number is infinity, and one of it reaches every parameter (N01). Below the smallest is 0, and what is
0 forward sends no gradient back to the weights that read it.

## Example
    model.half()                                 # and activations of 1e5 in a residual stream without norms

## Remedy
Scale the weights so that every layer keeps its signal. Or change the dtype: bfloat16 has the range of float32.

## Known exceptions
Scores of −65,504 that mask an attention are not the output of a layer, and are not looked at.

## Source
Micikevicius et al. 2018, Mixed Precision Training, section 2. IEEE 754 for the ranges.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.diagnosis.remedies import fit_all_to_activations
from fanin.graph import Node
from fanin.plans import Plan
from fanin.signals import Detail, LayerSignal
from fanin.signals.detail import share_below


class Range(NamedTuple):
    """Powers of two: above `high` is the upper half of what there is, below `low` values are subnormal."""

    low: int
    high: int


RANGES: Final = {"float16": Range(-14, 15), "bfloat16": Range(-126, 127), "float32": Range(-126, 127)}
LARGEST_HALF: Final = 65504.0
VANISHED: Final = -24  # below 2^-24 float16 has nothing
MOST: Final = 0.5  # of the values that are not 0


def find(check: Check, evidence: Evidence) -> Finding | None:
    """The first layer that is at an end; else the first that would be in float16."""
    values = evidence.signals.values  # of what is infinite already, N01 speaks
    ends = [(s, node) for s in evidence.layers for node in _nodes(s) if not values[node.name].non_finite]
    for seen, node in ends:
        detail, bounds = evidence.signals.details.get(node.name), RANGES.get(node.dtype)
        if detail and bounds and (what := _at_an_end(detail, bounds, node.dtype)):
            return _finding(check, evidence, Severity.WARNING, seen, f"{what} ({node.called})", detail)
    for seen, node in ends:
        detail = evidence.signals.details.get(node.name)
        if detail and node.dtype == "float32" and (what := _too_much_for_half(detail)):
            return _finding(check, evidence, Severity.NOTE, seen, f"{what} ({node.called})", detail)
    return None


def _nodes(seen: LayerSignal) -> tuple[Node, ...]:
    """The pre-activation, and what the activation makes of it where that does not just cut it off."""
    return (seen.layer.node,) if seen.layer.node is seen.layer.output else (seen.layer.node, seen.layer.output)


def _at_an_end(detail: Detail, bounds: Range, dtype: str) -> str:
    if detail.largest >= 2.0**bounds.high:
        return f"values up to {detail.largest:.3g} in {dtype}, which ends a factor of two above {2.0**bounds.high:.3g}"
    below = share_below(detail, bounds.low)
    if below > MOST:
        return f"{below:.0%} of the values are subnormal in {dtype}, below {2.0**bounds.low:.2g}"
    return ""


def _too_much_for_half(detail: Detail) -> str:
    if detail.largest > LARGEST_HALF:
        return f"values up to {detail.largest:.3g}: under autocast to float16 they would be infinite"
    below = share_below(detail, VANISHED)
    if below > MOST:
        return f"{below:.0%} of the values are below {2.0**VANISHED:.2g}: under autocast to float16 they would be 0"
    return ""


def _finding(
    check: Check, evidence: Evidence, severity: Severity, seen: LayerSignal, what: str, detail: Detail
) -> Finding:
    why = evidence.scale_sentence(seen.layer)
    return check.finding(evidence, severity, seen, what=what, why=why, largest=detail.largest, smallest=detail.smallest)


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """Gains that keep the signal; nothing where it may be meant so."""
    return plan if finding.severity is Severity.NOTE else fit_all_to_activations(plan, evidence)


CHECK = Check(
    code="N02",
    name="outside the dtype's range",
    summary="Values of a layer lie at an end of what their dtype can hold, or would in float16.",
    page=__doc__,
    find=find,
    remedy=remedy,
    advice="scale the weights so that each layer keeps its signal (recipe auto), or use bfloat16",
    needs="a measurement",
)
