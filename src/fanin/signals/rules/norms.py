"""Norms over the features of each position: layer norm and RMS norm.

x̂ = (x − m)/√v is a stretched x: of the same latent, so that what follows is still a function of that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fanin.signals import latent
from fanin.signals.axes import Kind, count, kinds_of
from fanin.signals.bins import Bins
from fanin.signals.draws import NOTHING
from fanin.signals.flow import Gradient
from fanin.signals.frozen import replace
from fanin.signals.gradient import total
from fanin.signals.latent import Array
from fanin.signals.rules.affine import affine_of, call_name, further
from fanin.signals.state import State
from fanin.signals.values import Call, NoRule, Outcome, Pulled


def layer_norm(call: Call) -> Outcome:
    """Layer norm over the last axes: v = q − μ² + ε, of all features of one position.

    Backward: (γ²/v) g (1 − 2/C).  Reference: Ba et al. 2016; Kedia et al. 2024, app. A.
    """
    return _over_features(call, centred=True, lost=2)


def rms_norm(call: Call) -> Outcome:
    """RMS norm: v = q + ε.  Backward: (γ²/v) g (1 − 1/C).  Reference: Zhang & Sennrich 2019."""
    return _over_features(call, centred=False, lost=1)


def _over_features(call: Call, *, centred: bool, lost: int) -> Outcome:
    x = call.state("input")
    dims = len(call["normalized_shape"])
    taken = x.axes[-dims:]
    if any(Kind.SAMPLE in kinds_of(a) for a in taken):
        raise NoRule("it normalises over samples")
    c = count(taken, Kind.FEATURE)
    p = count(taken, Kind.POSITION)
    mean, second = x.average(x.mean), x.average(x.second)
    positions = x.average(x.across_positions)
    # the mean over c features and p positions, each feature having a mean of its own
    apart = (second - mean**2) + (p - 1) * (positions - mean**2) - x.shared
    own = np.array([mean**2 + x.shared + apart / (c * p)])
    if not centred:
        own = np.zeros(1)
    v = second - float(own[0]) + (call["eps"] if call["eps"] is not None else 1e-6)
    by = 1 / math.sqrt(v) if v > 0 else 0.0
    hat = replace(x.scaled(by, -mean * by if centred else 0.0), draws=NOTHING, fixed=True, profile=None, shared=0.0)
    if centred:  # E x m = E m² of the mean m
        across = x.average(x.across_samples)
        positions_, samples_ = (mean**2 + (k - mean**2) / c if p == 1 else float(own[0]) for k in (positions, across))
        hat = replace(
            hat,
            second=(x.second - float(own[0])) * by**2,
            across_positions=(x.across_positions - positions_) * by**2,
            across_samples=(x.across_samples - samples_) * by**2,
            latents=None,
        )
    scales = None if x.bins is None or p > 1 else _scales(x.bins, c, centred, call["eps"])
    if x.bins is not None and scales is not None:
        hat = hat.binned(_divided(x.bins, scales, c, centred))
    jensen = _inverse_moment_of_sum(x, c * p)
    out, affine = affine_of(call, hat)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        yield from affine.weights(affine.squares(gradients[0], out, hat))
        left = affine.back(seen).times(jensen * by**2 * max(1 - lost / (c * p), 0.0))
        if x.bins is not None and scales is not None:
            more = scales / (by or 1.0)
            g, h = left.in_bins(out, x.bins.counts)
            left = left.spread_over(out, x.bins.counts, g * more**2, h * np.outer(more, more))
        yield call_name(call), affine.through(gradients[0], x, out, left)

    return Outcome((out, *further(call, out)), pull)


def _scales(x: Bins, c: int, centred: bool, eps: float | None) -> Array:
    """1/√v of each bin."""
    v = x.second - (x.mean**2 + x.variance / c if centred else 0.0) + (eps if eps is not None else 1e-6)
    return np.asarray(1 / np.sqrt(np.maximum(v, 1e-300)))


def _divided(x: Bins, scales: Array, c: int, centred: bool) -> Bins:
    """(x − m)/√v, each bin by its own v."""
    out = x.scaled(scales, -x.mean * scales if centred else 0.0)
    if not centred:
        return out
    means = np.outer(x.mean, x.mean)
    second = x.variance * (1 - 1 / c) * scales**2
    return replace(out, second=second, across=(x.across - means) * (1 - 1 / c) * np.outer(scales, scales))


def _inverse_moment_of_sum(x: State, n: int) -> float:
    """E v E 1/v = 1/(1 − (κ − 1)/n) of the variance v of n independent entries of kurtosis κ; at most 2."""
    mean, variance = x.average(x.mean), x.average(x.second) - x.average(x.mean) ** 2
    if variance <= 0:
        return 1.0
    kurtosis = x.average(latent.expectation((x.values - mean) ** 4)) / variance**2
    return float(1 / max(1 - (kurtosis - 1) / n, 0.5))
