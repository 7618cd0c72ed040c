"""A weight that is not to be trained still has the values of a random start.

## What it does
Lists weights with `requires_grad=False` whose values follow a random law as an initializer leaves them and training
does not: uniform, orthogonal, or normal with a std that is usual, such as 0.02 or √(2/fan_in).

## Why it is bad
Whoever freezes a layer usually means a trained one: a checkpoint that was not loaded, or loaded under other names,
leaves random features that will never improve.

## Example
    backbone.requires_grad_(False)                       # before load_state_dict

## Remedy
None that a start could give: load the checkpoint, or let the weights be trained.

## Known exceptions
Random features and reservoirs are meant so, hence a note. Trained weights, tables such as sinusoidal positions,
constants, and tensors of too few values to tell are not reported.

## Source
fanin, docs/initializers.md, on which laws are recognised.
"""

from __future__ import annotations

import math
from typing import Final

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.initializers import Keep, Normal, PerPart, Structure, TruncatedNormal, VarianceScaling, initializer
from fanin.plans import Entry
from fanin.plans.recognition.names import RARE_STDS, STDS

ENOUGH: Final = 10_000  # values, of which trained ones seldom pass for normal ones of a usual scale; 2,048 did


def _frozen_at_random(evidence: Evidence) -> list[Entry]:
    def random(entry: Entry) -> bool:
        if not entry.parameter.frozen or len(entry.parameter.shape) < 2 or isinstance(entry.initializer, Keep):
            return False
        law = entry.initializer.law(entry.target)
        return law.std > 0 and law.structure is not Structure.FIXED and not _may_be_trained(entry)

    return [entry for entry in evidence.laws or () if random(entry)]


def _may_be_trained(entry: Entry) -> bool:
    """Normal values, few or of no usual scale: training leaves such, too."""
    what = entry.initializer
    plain = initializer(what.each) if isinstance(what, PerPart) else what
    if isinstance(plain, VarianceScaling):
        return plain.distribution != "uniform" and math.prod(entry.parameter.shape) < ENOUGH
    few = math.prod(entry.parameter.shape) < ENOUGH
    return isinstance(plain, (Normal, TruncatedNormal)) and (few or plain.std not in (*STDS, *RARE_STDS))


def find(check: Check, evidence: Evidence) -> Finding | None:
    """The first such weight."""
    found = _frozen_at_random(evidence)
    if not found:
        return None
    first = found[0]
    return check.finding(
        evidence,
        Severity.NOTE,
        first.parameter,
        what=f"{len(found)} weight(s) are frozen with the values of a random start",
        why=f"{first.parameter.path} is not to be trained, and looks as {first.initializer} leaves it",
        also=[entry.parameter.path for entry in found],
        frozen_at_random=len(found),
    )


CHECK = Check(
    code="P02",
    name="frozen at random",
    summary="A weight that is not to be trained still has the values of a random start.",
    page=__doc__,
    find=find,
    advice="load the trained values, or let these weights be trained; if random features are meant, ignore P02 there",
)
