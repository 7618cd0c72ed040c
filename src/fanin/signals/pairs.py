"""Weights in mirrored pairs: they read the odd part of a signal, and hand back the even part of its slope.

Units come as z and −z, and a weight w meets its mirror image −w: w (F(z) − F(−z)) = 2 w · odd(z). Going back, the
gradients of a pair have opposite signs, and so have its weights: δ A(z) + δ A(−z) = 2 δ · even(z).
"""

from __future__ import annotations

from fanin.signals.draws import NOTHING
from fanin.signals.flow import Gradient
from fanin.signals.frozen import replace
from fanin.signals.gradient import GradientMoments, total
from fanin.signals.latent import Array
from fanin.signals.state import State
from fanin.signals.values import Weight


def heard(x: State, weight: Weight) -> tuple[State, Weight]:
    """The signal and the law as a sum over all inputs may take them: n E w² · 2 E odd² = n/2 E w² · E (2 odd)²."""
    if not weight.pairs[1]:
        return x, weight
    odd = x.of((x.values - x.values[:, ::-1]) / 2)
    if weight.keeps_norms:
        # Of relu, gelu and silu it is z/2: how its size depends on the draw is that of z, not of the activation, and no
        # layer adds to it. What the first layer's rows add, 2/n, is left out.
        odd = replace(odd, draws=NOTHING)
    return odd, replace(weight, variance=2 * weight.variance)


def handed_back(gradient: Gradient, out: State, weight: Weight) -> GradientMoments:
    """What the sum over all outputs may take for the moments of the gradient."""
    if not weight.pairs[0]:
        return total(gradient, out)
    even = {carrier: replace(flow, factor=_even(flow.factor)) for carrier, flow in gradient.items()}
    return total(even, out).each(lambda m: 2 * m)


def _even(factor: Array) -> Array:
    return (factor + factor[:, ::-1]) / 2
