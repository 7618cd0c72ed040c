"""The signal, or its gradient, grows from layer to layer.

## What it does
Compares the second moment of each layer's output with the first layer's (F02), and ‖δ‖², the squared norm of the
gradient at each layer's pre-activation, with the last layer's (B02). Above 1e4 it is a warning, above 1e8 an error.
A layer counts only if all that follow it, in the direction of the signal, are out of range too; what makes only
queries or keys is left out, since small ones are uniform attention, and a good start.

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

from fanin.diagnosis.checks.trend import trend_check

ADVICE = "give every weight the gain of the activation that it feeds, over its fan (recipe auto)"

FORWARD = trend_check("F02", "exploding activations", __doc__, forward=True, grows=True, advice=ADVICE)
BACKWARD = trend_check("B02", "exploding gradients", __doc__, forward=False, grows=True, advice=ADVICE)
