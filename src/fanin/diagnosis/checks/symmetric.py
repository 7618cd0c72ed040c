"""All units of a layer have the same weights and receive the same gradients.

## What it does
Looks for a weight whose rows (one for each unit) are equal to the last bit, and whose gradient's rows are equal too.

## Why it is bad
Units that start alike and are pushed alike stay alike. However wide the layer is, it computes one feature, and gradient
descent cannot tell its units apart; with all weights zero only the last bias learns.

## Example
    torch.nn.init.constant_(layer.weight, 0.0)

## Remedy
Draw the weight at random; any law with some variance breaks the symmetry. Biases may stay zero.

## Known exceptions
A last layer, or a residual branch's last layer, that starts at zero on purpose is not reported: its rows are equal, but
their gradients differ, so they part at the first step.

## Source
Goodfellow, Bengio & Courville 2016, Deep Learning, section 8.4.
"""

from __future__ import annotations

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.diagnosis.remedies import fit_to_activations
from fanin.plans import Plan
from fanin.signals import LayerSignal


def _symmetric_layers(evidence: Evidence) -> list[LayerSignal]:
    def alike(seen: LayerSignal) -> bool:
        weight = evidence.weight(seen.layer)
        return weight.same_rows and (weight.same_gradient_rows or weight.gradient is None)

    return [seen for seen in evidence.layers if alike(seen)]


def find(check: Check, evidence: Evidence) -> Finding | None:
    """The first such layer."""
    alike = _symmetric_layers(evidence)
    if not alike:
        return None
    value = evidence.weight(alike[0].layer).value
    units = evidence.graph.by_path[alike[0].layer.weight].shape[0]
    constant = "0" if value.second_moment == 0 else f"{value.mean:.3g}"
    return check.finding(
        evidence,
        Severity.ERROR,
        alike[0],
        what=f"all {units} units have the same weights and the same gradients, in {len(alike)} layer(s)",
        why=f"{alike[0].layer.weight} starts with equal rows (mean {constant}), so nothing tells its units apart",
        symmetric_layers=len(alike),
    )


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """Random weights for the layers that are alike."""
    return fit_to_activations(plan, evidence, [seen.layer.weight for seen in _symmetric_layers(evidence)])


CHECK = Check(
    code="U01",
    name="symmetric units",
    summary="All units of a layer have the same weights and receive the same gradients.",
    page=__doc__,
    find=find,
    remedy=remedy,
    worse="larger",
    advice="draw these weights at random, with the gain of the activation that they feed (recipe auto)",
)
