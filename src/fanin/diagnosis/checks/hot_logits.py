"""The logits differ so much from class to class that the softmax is sure of its answer before any training.

## What it does
Measures the variance of the logits over the classes, sample by sample, where they enter a cross-entropy or a softmax
that the model returns. Beyond 2 ln V, and 4, the softmax over V classes rests on a few of them, which is noted; at
twice that standard deviation it is warned of. Not reported where the first loss shows it already (L01).

## Why it is bad
An answer that is sure and drawn at random is wrong. Where the softmax is saturated its slope is small for all classes
but one or two, so that the gradient says which of these was wrong and little else.

## Example
    logits = x @ embedding.weight.T              # a tied table of N(0, 1) and width 512: logits of variance 512

## Remedy
Make the last weight smaller, so that the logits have a variance of about ¼; for a tied table, divide them by √width.

## Known exceptions
Trained weights are sure with reason. The softmax of an attention has checks of its own, and that of a router none.

## Source
Derrida 1981: of V Gaussian energies of variance σ², the sum Σ exp(z) rests on a few once σ² > 2 ln V.
"""

from __future__ import annotations

import math
from typing import Final

from fanin.diagnosis.check import Check
from fanin.diagnosis.checks.first_loss import NOTICED, excess
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.logits import place_of_logits, why_of_logits, with_smaller_readout
from fanin.diagnosis.model import Finding, Severity
from fanin.plans import Plan
from fanin.plans.tuned import LOGITS

# Of two classes the variance is one draw of the last weight's difference, χ² of one degree of freedom: from logits of
# variance 1, of which it is ½ on average, it reaches this in 1 of 200 draws.
LEAST: Final = 4.0
CERTAIN: Final = 4.0  # times as much


def find(check: Check, evidence: Evidence) -> Finding | None:
    """Where the variance is beyond what V classes bear."""
    chance = evidence.chance
    if chance is None or chance.spread is None or not chance.classes or abs(excess(evidence) or 0.0) >= NOTICED:
        return None
    bearable = max(2 * math.log(chance.classes), LEAST)
    if not math.isfinite(chance.spread) or chance.spread <= bearable:
        return None
    return check.finding(
        evidence,
        Severity.WARNING if chance.spread > CERTAIN * bearable else Severity.NOTE,
        place_of_logits(evidence),
        what=f"the logits have a variance of {chance.spread:.3g} over {chance.classes} classes, where up to "
        f"{bearable:.3g} leaves several of them a chance",
        why=why_of_logits(evidence),
        variance_over_classes=chance.spread,
        classes=chance.classes,
    )


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """Logits of variance ¼."""
    by = LOGITS / finding.evidence["variance_over_classes"]
    return with_smaller_readout(plan, evidence, math.sqrt(by))


CHECK = Check(
    code="L02",
    name="hot logits",
    summary="The logits differ so much that the softmax is sure of its answer before any training.",
    page=__doc__,
    find=find,
    remedy=remedy,
    advice="make the last weight smaller, so that the logits have a variance of about ¼ (recipe auto)",
    worse="larger",
)
