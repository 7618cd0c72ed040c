"""Most units of a layer sit at a bound of their activation, where its slope is almost zero.

## What it does
Counts the outputs of a bounded activation (tanh, sigmoid, …) that lie within 1 % of its range from a bound, and reports
the first layer in which more than half do.

## Why it is bad
At a bound the derivative is near zero: |tanh| > 0.98 leaves less than 4 % of the slope. The unit passes on one of
two values whatever its input, and hardly any gradient reaches its weights.

## Example
    torch.nn.init.normal_(layer.weight)          # std 1 where 1/sqrt(fan_in) was needed

## Remedy
Smaller weights: Var(w) = 1/(φ'(0)² fan_avg), so that the input of the activation stays in its linear part.

## Known exceptions
A gate that is meant to start open or closed, such as an LSTM's forget gate with a bias of several units.

## Source
Glorot & Bengio 2010, section 3.
"""

from __future__ import annotations

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.diagnosis.remedies import fit_to_activations
from fanin.plans import Plan
from fanin.signals import LayerSignal

MOST = 0.5


def _saturated_layers(evidence: Evidence) -> list[LayerSignal]:
    return [seen for seen in evidence.layers if (seen.value.saturated or 0.0) > MOST]


def find(check: Check, evidence: Evidence) -> Finding | None:
    """The first layer in which most units are saturated."""
    stuck = _saturated_layers(evidence)
    if not stuck:
        return None
    share = stuck[0].value.saturated or 0.0
    return check.finding(
        evidence,
        Severity.ERROR if share > 0.75 else Severity.WARNING,
        stuck[0],
        what=f"{share:.0%} of the outputs of {stuck[0].layer.activation} are at a bound; {len(stuck)} layer(s) are so",
        why=evidence.scale_sentence(stuck[0].layer),
        saturated_share=share,
        saturated_layers=len(stuck),
    )


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """The gain 1/φ'(0) for the layers that are stuck."""
    return fit_to_activations(plan, evidence, [seen.layer.weight for seen in _saturated_layers(evidence)])


CHECK = Check(
    code="U02",
    name="saturated units",
    summary="Most units of a layer sit at a bound of their activation, where its slope is almost zero.",
    page=__doc__,
    find=find,
    remedy=remedy,
    worse="larger",
    advice="scale these weights down to Var(w) = 1/(φ'(0)² fan_avg) (recipe auto)",
)
