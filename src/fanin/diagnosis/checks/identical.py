"""Several weights of one shape have the same random values.

## What it does
Looks for random weights that are equal to the last bit though they are tensors of their own: side by side, as queries
and keys that read the same input, or as parts of one packed weight (a warning); with the same gradients too, so that
they stay equal (an error); or one behind the other (a note).

## Why it is bad
Copies that are given the same input compute the same thing: Q = K makes every token attend to itself, and equal
branches or experts are one. Copies one behind the other do part at the first step, since they are given different
inputs; but they add up in step, so that the sum over L residual branches grows as L², not L, and in a plain stack one
matrix is raised to a power. Predictions of signals assume independent draws.

## Example
    torch.nn.TransformerEncoder(layer, 12)               # twelve deep copies of the one layer
    query, key = Dense(64, seed=1), Dense(64, seed=1)    # one seed for both

## Remedy
Draw each copy anew, from the same law.

## Known exceptions
Constants such as 0, 1 and identities; tied weights, which are one tensor; frozen copies, as target networks and
momentum encoders have; copies of trained layers. `torch.nn.TransformerEncoder` copies by PyTorch's own default, and
such models are trained every day: a note.

## Source
pytorch/pytorch, documentation of `torch.nn.TransformerEncoder`: "All layers in the TransformerEncoder are initialized
with the same parameters."
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.diagnosis.remedies import fit_to_activations
from fanin.graph import Parameter
from fanin.initializers import Keep, Structure
from fanin.plans import Decision, Plan

FEWEST: Final = 16  # values: fewer may be equal without anyone having copied them
TELLING: Final = 200  # values from which on a random law is recognised; where it was not, they are no random start


class _Copies(NamedTuple):
    """Parameters that are equal; or one, of which parts are."""

    paths: tuple[str, ...]
    severity: Severity
    how: str


def _copies(evidence: Evidence) -> list[_Copies]:
    """The worst first, then in the order of the parameters."""
    groups: dict[tuple[tuple[int, ...], int], list[Parameter]] = {}
    found: list[_Copies] = []
    for p in evidence.graph.parameters:
        seen = evidence.signals.parameters.get(p.path)
        if seen is None or p.frozen or len(p.shape) < 2 or not _is_random(evidence, p):
            continue
        if seen.digest is not None:
            groups.setdefault((p.shape, seen.digest), []).append(p)
        parts = p.parts.of(p.shape) if p.parts else ()
        if seen.distinct_parts is not None and seen.distinct_parts < len(parts) and seen.value.zeros * len(parts) < 1:
            how = f"of the {len(parts)} parts of {p.path} only {seen.distinct_parts} differ"
            found.append(_Copies((p.path,), Severity.WARNING, how))
    for same in (group for group in groups.values() if len(group) > 1):
        paths = tuple(p.path for p in same)
        if _pushed_alike(evidence, same):
            severity, how = Severity.ERROR, "they have the same gradients too, and stay alike"
        elif len({_reads(evidence, p) for p in same}) < len(same):
            severity, how = Severity.WARNING, "some of them read the same input"
        else:
            severity, how = Severity.NOTE, "they read different inputs, and part at the first step"
        found.append(_Copies(paths, severity, how))
    order = (Severity.ERROR, Severity.WARNING, Severity.NOTE)
    return sorted(found, key=lambda copies: order.index(copies.severity))


def _is_random(evidence: Evidence, p: Parameter) -> bool:
    """Drawn from a law, as far as is known, and not constant or an identity."""
    seen, entry = evidence.signals.parameters[p.path], evidence.laws[p.path] if evidence.laws else None
    if math.prod(p.shape) < FEWEST or seen.same_rows or seen.value.second_moment <= seen.value.mean**2:
        return False
    if entry is None:
        return seen.value.zeros < 0.5
    if isinstance(entry.initializer, Keep):
        return math.prod(p.shape) < TELLING and seen.value.zeros < 0.5
    return entry.initializer.law(entry.target).structure is not Structure.FIXED


def _pushed_alike(evidence: Evidence, same: list[Parameter]) -> bool:
    """All have one gradient, by its moments, and it is not 0."""
    gradients = {evidence.signals.parameters[p.path].gradient for p in same}
    (first, *others) = gradients
    return not others and first is not None and first.second_moment > 0


def _reads(evidence: Evidence, p: Parameter) -> object:
    """The signals that its operation reads; a parameter of no operation reads nothing that another one does."""
    sources = evidence.paths.sources.get(p.node or "", ())
    return sources or p.path


def find(check: Check, evidence: Evidence) -> Finding | None:
    """The worst group of copies."""
    found = _copies(evidence)
    if not found:
        return None
    paths, severity, how = found[0]
    count = len({path for copies in found for path in copies.paths})
    what = f"{len(paths)} weights have the same random values" if len(paths) > 1 else how
    more = f"; in all, {count} weights have copies" if len(found) > 1 else ""
    return check.finding(
        evidence,
        severity,
        evidence.graph.by_path[paths[-1]],
        what=f"{what}{more}",
        why=f"{' and '.join(paths[:2])}{', …' if len(paths) > 2 else ''} hold one draw"
        + (f": {how}" if len(paths) > 1 else ""),
        also=[path for copies in found for path in copies.paths],
        copies=len(paths),
        groups=len(found),
    )


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """All copies but the first drawn anew from the law that they were drawn from."""
    for paths, *_ in _copies(evidence):
        for path in paths[1:] or paths:
            entry = evidence.laws[path] if evidence.laws else None
            if entry is None or isinstance(entry.initializer, Keep):
                plan = fit_to_activations(plan, evidence, [path])
            else:
                again = Decision(entry.initializer, "a copy, drawn anew from the law that it was drawn from")
                plan = plan.decide({path: again})
    return plan


CHECK = Check(
    code="U04",
    name="identical layers",
    summary="Several weights of one shape have the same random values.",
    page=__doc__,
    find=find,
    remedy=remedy,
    needs="a measurement",
    advice="draw each copy anew from the same law",
    worse="larger",
)
