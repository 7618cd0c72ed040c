"""Different samples become alike with depth: the last layers cannot tell them apart.

## What it does
Follows the signal, outside of residual branches and up to the readout: at each point, 1 − c is the share of the second
moment that two samples do not have in common, c = E x_s·x_s'/E|x_s|². Reports where, and from there on, less than 1e-4
of the first point's is left; less than 1e-8 is an error.

## Why it is bad
The output is the same whatever the input is. This is the ordered phase: weights too small beside the biases, or an
activation far from 0, such as sigmoid's ½, make what is common to all samples grow at the cost of what is not. The
gradient that could change it vanishes by the same factor, layer by layer.

## Example
    torch.nn.Linear(64, 64)          # as built, 20 of them with ReLU: fan_in · E[w²] = 1/3, and biases that stay

## Remedy
Weights with the gain of the activation, biases 0: 1 − c then falls as 1/depth² with ReLU, or not at all, in place of
exponentially. Very deep sigmoid nets need another activation or a norm.

## Known exceptions
A readout whose bias is large on purpose is not looked at. Inputs that are alike from the start, or a single sample, are
not judged.

## Source
Poole et al. 2016; Schoenholz et al. 2017, section 3 and 4.
"""

from __future__ import annotations

from fanin.diagnosis.checks.alike import alike_check
from fanin.diagnosis.checks.trend import HOPELESS, NOTICEABLE

# The gradient falls by the same factors in the ordered phase, so they are judged alike. With ReLU at its own gain,
# 1 − c falls as 9π²/(2 L²): 4e-3 after 100 layers.
CHECK = alike_check(
    "F04",
    "indistinguishable samples",
    __doc__,
    tokens=False,
    noticeable=1 / NOTICEABLE,
    hopeless=1 / HOPELESS,
    summary="Different samples become alike with depth: the last layers cannot tell them apart.",
    advice="give every weight the gain of the activation that it feeds, and biases 0 (recipe auto); "
    "if that is not enough, change the architecture: add a norm",
)
