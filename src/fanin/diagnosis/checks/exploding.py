"""The signal, or its gradient, grows from layer to layer.

## What it does
Compares the second moment of each layer's output with the first layer's (F02), and that of the gradient at each layer's
pre-activation with the last layer's (B02). Above 1e4 it is a warning, above 1e8 an error.

## Why it is bad
F02: logits are huge, so the first loss is far above chance and its gradient is that of a confident mistake; further on
the values overflow. B02: a step that suits the last layers throws the first ones far away.
Both are products over depth, of fan_in · Var(w) · E[φ²]/q forward and fan_out · Var(w) · E[φ'²] backward.

## Example
    for layer in layers: torch.nn.init.normal_(layer.weight)          # std 1, whatever the width

## Remedy
The gain of the activation over the fan: Var(w) = 2/fan_in for ReLU (He), 1/fan for tanh (Glorot). Clipping gradients
hides B02 for the last layers and not for the direction of the step.

## Known exceptions
Batch norm makes gradients grow by about 1.2 a layer by itself: very deep nets without residual connections show B02
whatever their weights are.

## Source
Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013; He et al. 2015, section 2.2; Yang et al. 2019.
"""

from __future__ import annotations

from fanin.diagnosis.check import Check
from fanin.diagnosis.checks.trend import Trend, backward_trend, forward_trend
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding
from fanin.diagnosis.remedies import fit_all_to_activations
from fanin.plans import Plan


def find_forward(check: Check, evidence: Evidence) -> Finding | None:
    """Outputs above 1e4 times the first layer's."""
    trend = forward_trend(evidence, grows=True)
    return _finding(check, evidence, trend, "the second moment of the output") if trend else None


def find_backward(check: Check, evidence: Evidence) -> Finding | None:
    """Gradients above 1e4 times the last layer's."""
    trend = backward_trend(evidence, grows=True)
    return _finding(check, evidence, trend, "going back, the second moment of the gradient") if trend else None


def _finding(check: Check, evidence: Evidence, trend: Trend, signal: str) -> Finding:
    return check.finding(
        evidence,
        trend.severity,
        trend.start,
        what=f"{signal} grows by ×{trend.per_layer:.3g} a layer, to {trend.total:.2g} times where it began",
        why=evidence.scale_sentence(trend.start.layer),
        total_ratio=trend.total,
        ratio_per_layer=trend.per_layer,
        layers_beyond=trend.affected,
    )


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """Gains that keep the signal, in every layer."""
    return fit_all_to_activations(plan, evidence)


_ADVICE = "give every weight the gain of the activation that it feeds, over its fan (recipe auto)"
FORWARD = Check("F02", "exploding activations", __doc__, find_forward, remedy, _ADVICE)
BACKWARD = Check("B02", "exploding gradients", __doc__, find_backward, remedy, _ADVICE)
