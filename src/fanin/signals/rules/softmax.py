"""Softmax that is no attention: of logits of classes, gates and routers, over features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from fanin.signals import latent
from fanin.signals.axes import Kind, kinds_of
from fanin.signals.gradient import Gradient, GradientMoments, total
from fanin.signals.latent import Array
from fanin.signals.state import State, gaussian
from fanin.signals.values import Call, NoRule, Outcome, Pulled

DRAWN: Final = 1 << 17  # logits


class Drawn(NamedTuple):
    """Averages over pairs of rows p of a softmax whose logits have this correlation.

    Attributes:
        overlap: E Σ_j p_j p'_j.
        slope: E Σ_j p_j p'_j (1 − p_j − p'_j + Σ_l p_l p'_l).
        normaliser: E ln Σ e^logit.
    """

    overlap: float
    slope: float
    normaliser: float


def softmax(call: Call) -> Outcome:
    """The softmax p over C features: E p = 1/C, E p² = E Σ p²/C.  Backward: δ_j = p_j (δ'_j − Σ_l p_l δ'_l)."""
    x = _over_features(call)
    c = x.features
    drawn = [_drawn(x, rho) for rho in (np.ones(len(x.sizes)), *x.correlations)]
    out = gaussian(x.axes, [c], 1 / c, *(d.overlap / c for d in drawn), spread=x.spread, marks=x.marks)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        one = np.ones(len(x.sizes))
        parts = (seen.second, seen.across_positions, seen.across_samples)
        g, h, s = (out.average(part) * d.slope / c * one for part, d in zip(parts, drawn, strict=True))
        yield call.first, GradientMoments(g, h, s).flow()

    return Outcome((out,), pull)


def log_softmax(call: Call) -> Outcome:
    """X − ln Σ e^x, of which the sum hardly varies where features are many.  Backward: δ_j = δ'_j − p_j Σ_l δ'_l."""
    x = _over_features(call)
    c = x.features
    drawn = [_drawn(x, rho) for rho in (np.ones(len(x.sizes)), *x.correlations)]
    out = x.scaled(1.0, -drawn[0].normaliser)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        one = np.ones(len(x.sizes))
        parts = (seen.second, seen.across_positions, seen.across_samples)
        # E (δ_j − p_j Σ δ_l)², averaged over j: 1 − 2/C + Σ p²
        g, h, s = (out.average(part) * (1 - 2 / c + d.overlap) * one for part, d in zip(parts, drawn, strict=True))
        yield call.first, GradientMoments(g, h, s).flow()

    return Outcome((out,), pull)


def _over_features(call: Call) -> State:
    x = call.state(call.first)
    taken = x.axes[int(call.get("dim", -1))]
    rest = [a for a in x.axes if a is not taken]
    if kinds_of(taken) != {Kind.FEATURE} or any(Kind.FEATURE in kinds_of(a) for a in rest):
        raise NoRule("the softmax is not over all features")
    return x


def _drawn(x: State, correlation: Array) -> Drawn:
    """Rows of C logits with the marginals of x, and partners whose latents have this correlation."""
    random = np.random.default_rng(0)
    rows = max(4, DRAWN // x.features)
    segment = np.repeat(np.arange(len(x.sizes)), x.sizes)
    rho = np.clip(correlation, -1, 1)[segment]
    z, other = random.standard_normal((2, rows, x.features))
    pair = (z, rho * z + np.sqrt(1 - rho**2) * other)
    logits = [np.empty_like(z), np.empty_like(z)]
    for row, values in enumerate(x.values):
        at = segment == row
        for found, latents in zip(logits, pair, strict=True):
            found[:, at] = np.interp(latents[:, at], latent.NODES, values)
    p, q = (_of(one) for one in logits)
    overlap = (p * q).sum(-1)
    slope = (p * q * (1 - p - q + overlap[:, None])).sum(-1)
    highest = logits[0].max(-1, keepdims=True)
    normaliser = float((np.log(np.exp(logits[0] - highest).sum(-1)) + highest[:, 0]).mean())
    return Drawn(float(overlap.mean()), float(slope.mean()), normaliser)


def _of(logits: Array) -> Array:
    p = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(p / p.sum(-1, keepdims=True))
