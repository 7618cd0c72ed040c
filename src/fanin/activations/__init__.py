"""Activations and their Gaussian moments, from which every gain follows.

`Activation` is a pointwise function with its derivative. `activation(what)` finds one by name or makes one of a NumPy
function; `moments(what, std=…, mean=…)` integrates it against a Gaussian and returns a `Gain`.
To add one: a function, its derivative and a row of `TABLE` in table.py; with parameters, also a row of `FAMILIES`.
"""

from fanin.activations.gain import Gain, moments
from fanin.activations.quadrature import gaussian_expectation
from fanin.activations.resolve import activation
from fanin.activations.table import TABLE, Activation

__all__ = ["TABLE", "Activation", "Gain", "activation", "gaussian_expectation", "moments"]
