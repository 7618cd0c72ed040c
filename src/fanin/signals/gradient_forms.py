"""Gradients of known moments: how their δ² goes with the latent, and what weights behind norms leave of them."""

from __future__ import annotations

import numpy as np

from fanin.signals import latent
from fanin.signals.flow import CARRIERS, Gradient
from fanin.signals.frozen import replace
from fanin.signals.gradient import TINY, GradientMoments, total
from fanin.signals.latent import Array
from fanin.signals.orthogonal import Blind, Normed
from fanin.signals.state import State

FEW_TERMS = 64  # of a sum, of which one is seen in the gradient


def condensed(gradient: Gradient, state: State) -> Gradient:
    """One part with a carrier of its own and the same moments; how δ² depends on the latent stays.

    Where the state has no bins, what comes back has none either.
    """
    unknown = state.bins is None and any(flow.bins is not None for flow in gradient.values())
    if len(gradient) < 2 and not unknown:
        return gradient
    return depending(gradient, state, total(gradient, state))


def depending(gradient: Gradient, state: State, wanted: GradientMoments) -> Gradient:
    """One part with these moments, whose δ² depends on the latent of the state as that of the gradient does."""
    flows = gradient.values()
    if all(flow.factor.shape[1] == 1 for flow in flows):
        return wanted.flow()
    shape = (len(wanted.second), latent.COUNT)
    return with_factor(np.sqrt(np.sum([flow.squares(shape) for flow in flows], axis=0)), state, wanted)


def with_factor(factor: Array, state: State, wanted: GradientMoments) -> Gradient:
    """One part with these moments at a node with this state, and a factor of this shape."""
    shape = factor / np.sqrt(np.maximum(latent.expectation(factor**2), TINY))[:, None]
    positions, samples = (np.maximum(k, TINY) for k in latent.covariances(shape, state.correlations))
    carrier = wanted.carrying(shape, wanted.across_positions / positions, wanted.across_samples / samples)
    if wanted.bins is not None and state.bins is not None:
        rows = np.repeat(shape.mean(0, keepdims=True), len(wanted.bins.counts), 0)
        across = wanted.bins.across / np.maximum(latent.between(rows, state.bins.correlations), TINY)
        carrier = replace(carrier, bins=replace(wanted.bins, across=across, factor=rows))
    return {next(CARRIERS): carrier}


def leaning(back: Gradient, x: State, gradient: Gradient, out: State) -> Gradient:
    """What has come back to x from sums of few terms, of which each moves its sum: δ² is large where x² makes it so.

    Of n terms one makes the variance of the sum (x̂² − 1)/n larger, and E δ² grows with that as E (z² − 1) A(z)².
    """
    if out.terms is None or out.terms.number > FEW_TERMS or all(f.factor.shape[1] == 1 for f in gradient.values()):
        return back
    squares = out.shares @ np.sum([flow.squares(out.values.shape) for flow in gradient.values()], axis=0)
    bent = float(latent.expectation(squares * (latent.NODES**2 - 1)))
    grows = bent / max(float(latent.expectation(squares)), TINY)
    off = (x.values - x.mean[:, None]) ** 2 / np.maximum(x.variance, TINY)[:, None] - 1
    factor = np.sqrt(np.maximum(1 + grows / out.terms.number * off, 0.0))
    return with_factor(factor, x, total(back, x))


def kept_apart(back: Gradient, seen: GradientMoments, x: State, *, alone: bool, border: float = 0.0) -> Gradient:
    """What comes back through weights with norms behind them, without what those owe to the weights.

    Args:
        back: as if they owed nothing.
        seen: the gradient behind the weights.
        alone: each feature goes through the weights by itself, and δ stays orthogonal to the signal and to 1.
        border: as of `Blind`.
    """
    normed = seen.normed or Normed(1.0, 1.0, 0.0)
    owed = normed.by_features * (seen.owed if alone else 1.0)
    by = (normed.by_weights * (1.0 if alone else seen.owed)) ** -0.5
    found = {carrier: replace(flow.times(by), owed=owed, blind=None) for carrier, flow in back.items()}
    if not (alone and seen.normed):
        return found
    blind = {carrier: Blind(x.values, normed.along, border, flow.factor) for carrier, flow in found.items()}
    return {carrier: replace(flow, blind=blind[carrier]) for carrier, flow in found.items()}
