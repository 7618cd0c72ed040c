"""Softmax that is no attention: of logits of classes, gates and routers, over features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from fanin.signals import latent
from fanin.signals.axes import Kind, kinds_of
from fanin.signals.flow import Gradient, scaled
from fanin.signals.gradient import total
from fanin.signals.latent import Array
from fanin.signals.rules.population import log_normal_values
from fanin.signals.state import State, gaussian
from fanin.signals.values import Call, NoRule, Outcome, Pulled

DRAWN: Final = 1 << 17  # logits


class Drawn(NamedTuple):
    """Averages over pairs of rows p of a softmax whose logits have this correlation.

    Attributes:
        overlap: E Σ_j p_j p'_j.
        slope: E Σ_j p_j p'_j (1 − p_j − p'_j + Σ_l p_l p'_l).
        normaliser: E ln Σ e^logit.
        one_class, two_classes: E ln p_j ln p'_j, and E ln p_j ln p'_l of two classes j ≠ l.
    """

    overlap: float
    slope: float
    normaliser: float
    one_class: float
    two_classes: float


def softmax(call: Call) -> Outcome:
    """The softmax p over C features: E p = 1/C, E p² = E Σ p²/C.  Backward: δ_j = p_j (δ'_j − Σ_l p_l δ'_l).

    Its entries are taken for log-normal.
    """
    x = over_classes(call, call.first, int(call.get("dim", -1)))
    c, drawn = x.features, pairs_of(x)
    out = gaussian(x.axes, [c], 1 / c, *(d.overlap / c for d in drawn), draws=x.draws, marks=x.marks)
    out = replace(out, marginal=log_normal_values(out.mean, out.second))

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(scaled(gradients[0], out.values), out)  # of p δ': what is chosen by its p is larger
        back = seen.scaled(*(d.slope / d.overlap for d in drawn))
        one = np.ones(len(x.sizes))
        yield call.first, back.become(*(out.average(m) * one for m in back.moments)).flow()

    return Outcome((out,), pull)


def over_classes(call: Call, name: str, dim: int) -> State:
    """A tensor whose features all lie along one axis.

    Raises:
        NoRule: they do not.
    """
    x = call.state(name)
    taken = x.axes[dim]
    rest = [a for a in x.axes if a is not taken]
    if kinds_of(taken) != {Kind.FEATURE} or any(Kind.FEATURE in kinds_of(a) for a in rest):
        raise NoRule("the softmax is not over all features")
    return x


def pairs_of(x: State) -> tuple[Drawn, Drawn, Drawn]:
    """Of one row, of two positions of one sample, and of two samples."""
    one, positions, samples = (_drawn(x, rho) for rho in (np.ones(len(x.sizes)), *x.correlations))
    return one, positions, samples


def drawn_pair(x: State, correlation: Array) -> tuple[Array, Array]:
    """Rows of C numbers with the marginals of x, and partners whose latents have this correlation."""
    random = np.random.default_rng(0)
    rows = max(4, DRAWN // x.features)
    segment = np.repeat(np.arange(len(x.sizes)), x.sizes)
    rho = np.clip(correlation, -1, 1)[segment]
    z, other = random.standard_normal((2, rows, x.features))
    pair = (z, rho * z + np.sqrt(1 - rho**2) * other)
    found = (np.empty_like(z), np.empty_like(z))
    for row, values in enumerate(x.values):
        at = segment == row
        for one, latents in zip(found, pair, strict=True):
            one[:, at] = np.interp(latents[:, at], latent.NODES, values)
    return found


def _drawn(x: State, correlation: Array) -> Drawn:
    logits = drawn_pair(x, correlation)
    p, q = (_of(one) for one in logits)
    overlap = (p * q).sum(-1)
    slope = (p * q * (1 - p - q + overlap[:, None])).sum(-1)
    sums = [_log_sum(one) for one in logits]
    a, b = (one - sum_ for one, sum_ in zip(logits, sums, strict=True))
    one_class = (a * b).mean(-1)
    c = max(x.features - 1, 1)
    two_classes = ((c + 1) * a.mean(-1) * b.mean(-1) - one_class) / c
    found = (overlap, slope, sums[0], one_class, two_classes)
    return Drawn(*(float(each.mean()) for each in found))


def _log_sum(logits: Array) -> Array:
    """Ln Σ e^logit of each row."""
    highest = logits.max(-1, keepdims=True)
    return np.asarray(np.log(np.exp(logits - highest).sum(-1, keepdims=True)) + highest)


def _of(logits: Array) -> Array:
    p = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(p / p.sum(-1, keepdims=True))
