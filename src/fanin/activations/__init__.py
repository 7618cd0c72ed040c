"""Activations and what they do to Gaussian signals: moments, gains, kernels, and the mean field of deep nets.

`Activation` is a pointwise function with its derivative. `activation(what)` finds one by name or makes one of a NumPy
function; `moments(what, std=…, mean=…)` integrates it against a Gaussian and returns a `Gain`; `kernel` and
`derivative_kernel` do so for two correlated inputs; `mean_field` and `edge_of_chaos` follow both through depth.
To add one: a function, its derivative and a row of `TABLE` in table.py; with parameters, also a row of `FAMILIES`.
"""

from fanin.activations.edge_of_chaos import CriticalPoint, EdgeOfChaos, edge_of_chaos
from fanin.activations.gain import Gain, moments
from fanin.activations.kernels import derivative_kernel, kernel
from fanin.activations.mean_field import FixedPoint, MeanField, mean_field
from fanin.activations.phase_diagram import PhaseDiagram, phase_diagram
from fanin.activations.quadrature import gaussian_expectation
from fanin.activations.resolve import activation
from fanin.activations.table import TABLE, Activation
from fanin.activations.torch_gain import torch_gain

__all__ = [
    "TABLE",
    "Activation",
    "CriticalPoint",
    "EdgeOfChaos",
    "FixedPoint",
    "Gain",
    "MeanField",
    "PhaseDiagram",
    "activation",
    "derivative_kernel",
    "edge_of_chaos",
    "gaussian_expectation",
    "kernel",
    "mean_field",
    "moments",
    "phase_diagram",
    "torch_gain",
]
