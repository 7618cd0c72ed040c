"""The signal, or its gradient, shrinks from layer to layer until nothing is left.

## What it does
Compares the second moment of each layer's output with the first layer's (F01), and ‖δ‖², the squared norm of the
gradient at each layer's pre-activation, with the last layer's (B01). Below 1e-4 it is a warning, below 1e-8 an error.
A layer counts only if all that follow it, in the direction of the signal, are out of range too; what makes only
queries or keys is left out, since small ones are uniform attention, and a good start.

## Why it is bad
F01: the last layers see almost the same input whatever the sample is; the output is its bias.
B01: the first layers hardly move, and the layers after them learn on features that never improve.
Both are products over depth, of fan_in · Var(w) · E[φ²]/q forward and fan_out · Var(w) · E[φ'²] backward: a factor
of 1/6 a layer (PyTorch's default with ReLU) is 1e-31 after 40 layers.

## Example
    for layer in layers: torch.nn.init.normal_(layer.weight, std=0.01)

## Remedy
The gain of the activation: Var(w) = 2/fan_in for ReLU (He), 1/fan_avg for tanh (Glorot), 1/(φ'(0)² fan_avg) for
others that saturate, 1/(E[φ²] fan_in) for the rest.
Very deep sigmoid nets cannot be saved by their start: use a norm, a residual connection, or another activation.

## Known exceptions
A head or residual branch that starts at zero on purpose sends back exact zeros until its first step: not reported.

## Source
Hochreiter 1991; Bengio, Simard & Frasconi 1994; Glorot & Bengio 2010; He et al. 2015, section 2.2.
"""

from __future__ import annotations

from fanin.diagnosis.checks.trend import trend_check

ADVICE = "give every weight the gain of the activation that it feeds (recipe auto); if that is not enough, add a norm"

FORWARD = trend_check("F01", "vanishing activations", __doc__, forward=True, grows=False, advice=ADVICE)
BACKWARD = trend_check("B01", "vanishing gradients", __doc__, forward=False, grows=False, advice=ADVICE)
