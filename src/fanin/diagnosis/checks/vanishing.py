"""The signal, or its gradient, shrinks from layer to layer until nothing is left.

## What it does
Compares the second moment of each layer's output with the first layer's (F01), and that of the gradient at each layer's
pre-activation with the last layer's (B01). Below 1e-4 it is a warning, below 1e-8 an error.

## Why it is bad
F01: the last layers see almost the same input whatever the sample is; the output is its bias.
B01: the first layers hardly move, and the layers after them learn on features that never improve.
Both are products over depth, of fan_in · Var(w) · E[φ²]/q forward and fan_out · Var(w) · E[φ'²] backward: a factor
of 1/6 a layer (PyTorch's default with ReLU) is 1e-31 after 40 layers.

## Example
    for layer in layers: torch.nn.init.normal_(layer.weight, std=0.01)

## Remedy
The gain of the activation: Var(w) = 2/fan_in for ReLU (He), 1/fan for tanh (Glorot), 1/(E[φ²] fan_in) for any other.
Very deep sigmoid nets cannot be saved by their start: use a norm, a residual connection, or another activation.

## Known exceptions
A head or residual branch that starts at zero on purpose sends back exact zeros until its first step: not reported.

## Source
Hochreiter 1991; Bengio, Simard & Frasconi 1994; Glorot & Bengio 2010; He et al. 2015, section 2.2.
"""

from __future__ import annotations

from fanin.diagnosis.check import Check
from fanin.diagnosis.checks.trend import Trend, backward_trend, forward_trend
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding
from fanin.diagnosis.remedies import fit_all_to_activations
from fanin.plans import Plan


def find_forward(check: Check, evidence: Evidence) -> Finding | None:
    """Outputs below 1e-4 of the first layer's."""
    trend = forward_trend(evidence, grows=False)
    return _finding(check, evidence, trend, "the second moment of the output") if trend else None


def find_backward(check: Check, evidence: Evidence) -> Finding | None:
    """Gradients below 1e-4 of the last layer's."""
    trend = backward_trend(evidence, grows=False)
    return _finding(check, evidence, trend, "going back, the second moment of the gradient") if trend else None


def _finding(check: Check, evidence: Evidence, trend: Trend, signal: str) -> Finding:
    return check.finding(
        evidence,
        trend.severity,
        trend.start,
        what=f"{signal} falls by ×{trend.per_layer:.3g} a layer, to {trend.total:.2g} of where it began",
        why=evidence.scale_sentence(trend.start.layer),
        total_ratio=trend.total,
        ratio_per_layer=trend.per_layer,
        layers_beyond=trend.affected,
    )


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """Gains that keep the signal, in every layer."""
    return fit_all_to_activations(plan, evidence)


_ADVICE = "give every weight the gain of the activation that it feeds (recipe auto); if that is not enough, add a norm"
FORWARD = Check("F01", "vanishing activations", __doc__, find_forward, remedy, _ADVICE)
BACKWARD = Check("B01", "vanishing gradients", __doc__, find_backward, remedy, _ADVICE)
