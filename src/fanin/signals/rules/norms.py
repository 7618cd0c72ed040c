"""Norms: what is subtracted is a mean over a population, what is divided by its standard deviation.

x̂ = (x − m)/√v is a stretched x: of the same latent, so that what follows is still a function of that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from fanin.signals import latent
from fanin.signals.axes import Kind, count, kinds_of
from fanin.signals.bins import Bins
from fanin.signals.bins_back import met
from fanin.signals.draws import NOTHING
from fanin.signals.gradient import FEW_TERMS, Flow, Gradient, GradientMoments, depending, total
from fanin.signals.latent import Array
from fanin.signals.orthogonal import Blind, Normed
from fanin.signals.state import State, Terms, gaussian
from fanin.signals.taps import Profile
from fanin.signals.values import Call, Constant, NoRule, Outcome, Pulled, Weight, WeightGradient

SEEN: Final = 0.1  # of an excess kurtosis: below, a sum is as good as Gaussian
MOST_BENT: Final = 4.0  # beyond, the quantiles do not rise throughout


def batch_norm(call: Call) -> Outcome:
    """Batch norm in training: v = q − E m_c² + ε by segment, m_c the mean of a feature over the batch.

    Backward: δ_x = γ/√v (δ − mean δ − x̂ mean(δ x̂)), so that what all samples share is gone. The variances of features
    are spread as χ² of ν degrees of freedom, and E 1/v = ν/(ν − 2)/E v.

    Reference: Ioffe & Szegedy 2015; Yang et al. 2019.
    """
    x = _channels(call.state("input"))
    eps = call.get("eps", 1e-5)
    v = x.second - x.channel_second + eps
    hat = _normalised(x, v, (x.channel_second,) * 3)
    own = np.maximum(x.second - x.across_positions, 0.0)
    of_samples = np.maximum(own + x.positions * (x.across_positions - x.across_samples), 0.0)
    freedom = _freedom((x.samples - 1, of_samples), (x.samples * (x.positions - 1), own))
    own = 0.0 if x.terms is None else 1 / x.terms.count  # of the weights in front
    spread_by = 1 / freedom + x.scatter + (own if x.terms is not None and x.terms.alone else 0.0)
    with_weights = 1 / spread_by
    jensen = _inverse_moment(with_weights)
    of_features = _inverse_moment(1 / (spread_by - own))
    of_weights = x.average(jensen / of_features)
    of_features = x.average(of_features / _inverse_moment(freedom))
    hat = _heavy(hat, x.terms)
    out, affine = _affine(call, hat)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        squares = affine.squares(gradients[0], out, hat)
        yield from affine.weights(squares)
        along = float(np.mean(affine.second * (eps / v) ** 2 * _inverse_square(with_weights))) * squares[0]
        left = _projected(affine.back(seen), hat, x.positions, x.samples).times(jensen / v)
        left = replace(left, normed=Normed(of_weights, of_features, along), owed=seen.owed)
        yield call_name(call), affine.through(gradients[0], x, out, left)

    return Outcome((out, *_further(call, out)), pull)


def _freedom(*spectrum: tuple[float, Array]) -> Array:
    """ν = (Σ λ)²/Σ λ² of a variance over a population, λ the eigenvalues of its covariance.

    Args:
        spectrum: how often an eigenvalue occurs, and the eigenvalue.
    """
    whole = sum(times * value for times, value in spectrum)
    squares = sum(times * value**2 for times, value in spectrum)
    with np.errstate(all="ignore"):
        return np.maximum(np.nan_to_num(np.asarray(whole**2 / squares), nan=4.0), 1.0)


def _inverse_moment(freedom: Array) -> Array:
    """E v E 1/v = ν/(ν − 2).

    Not for: ν below 4, where 1/v has no variance; the factor stays at 2.
    """
    bounded = np.maximum(freedom, 4.0)
    return np.asarray(bounded / (bounded - 2))


def _inverse_square(freedom: Array) -> Array:
    """(E v)² E 1/v² = ν²/((ν − 2)(ν − 4)); bounded, as below ν = 4 few features carry all of it."""
    bounded = np.maximum(freedom, 6.0)
    return np.asarray(bounded**2 / ((bounded - 2) * (bounded - 4)))


def _heavy(hat: State, terms: Terms | None) -> State:
    """With the tails of a sum of few terms: of kurtosis κ each, 3 + (κ − 3) E Σ w⁴/(Σ w²)², the last 3/(n + 2).

    Reference: Cornish & Fisher 1938 (the quantiles).
    """
    excess = 0.0 if terms is None else terms.excess * 3 / (terms.count + 2)
    if hat.marginal is not None or abs(excess) < SEEN:
        return hat
    z = latent.NODES
    shape = z + min(max(excess, -MOST_BENT), MOST_BENT) / 24 * (z**3 - 3 * z)
    return replace(hat, marginal=latent.moved(np.tile(shape, (len(hat.sizes), 1)), hat.mean, hat.variance))


def batch_norm_eval(call: Call) -> Outcome:
    """Batch norm with its running statistics: an affine map of each feature."""
    x = _channels(call.state("input"))
    mean, variance = (_buffer(call[name], at) for name, at in (("running_mean", 0.0), ("running_var", 1.0)))
    std = math.sqrt(variance + call.get("eps", 1e-5))
    hat = x.scaled(1 / std, -mean / std)
    out, affine = _affine(call, hat)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        yield from affine.weights(affine.squares(gradients[0], out, hat))
        yield call_name(call), affine.through(gradients[0], x, out, affine.back(seen).times(1 / std**2))

    return Outcome((out, *_further(call, out)), pull)


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
    out, affine = _affine(call, hat)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        yield from affine.weights(affine.squares(gradients[0], out, hat))
        left = affine.back(seen).times(jensen * by**2 * max(1 - lost / (c * p), 0.0))
        if x.bins is not None and scales is not None:
            more = scales / (by or 1.0)
            g, h = left.in_bins(out, x.bins.counts)
            left = left.spread_over(out, x.bins.counts, g * more**2, h * np.outer(more, more))
        yield call_name(call), affine.through(gradients[0], x, out, left)

    return Outcome((out, *_further(call, out)), pull)


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


def group_norm(call: Call) -> Outcome:
    """Group and instance norm: the population is one sample's positions and the features of one group.

    Reference: Wu & He 2018.
    """
    x = _channels(call.state("input"))
    groups = x.features if call.node.op == "instance_norm" else call["num_groups"]
    c, p = x.features / groups, x.positions
    mean, second, k, s = x.mean, x.second, x.across_positions, x.across_samples
    of_group = mean**2 + ((second - mean**2) + (p - 1) * (k - mean**2)) / (p * c)
    v = second - of_group + call.get("eps", 1e-5)
    if c > 1 and len(x.sizes) > 1:  # a group may have several segments
        v = np.full_like(v, x.average(v))
    of_samples = mean**2 + (s - mean**2) / c
    hat = _normalised(x, v, (of_group, of_group, of_samples))
    out, affine = _affine(call, hat)
    own = np.maximum(second - k, 0.0)
    jensen = _inverse_moment(_freedom((c - 1, own + p * np.maximum(k - mean**2, 0.0)), (c * (p - 1), own)))

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        yield from affine.weights(affine.squares(gradients[0], out, hat))
        back = affine.back(seen)
        left = _projected(back, hat, p, 1, c).times(jensen / v)
        yield call_name(call), affine.through(gradients[0], x, out, left)

    return Outcome((out, *_further(call, out)), pull)


def _projected(seen: GradientMoments, hat: State, p: int, b: int, c: float = 1) -> GradientMoments:
    """δ − mean δ − x̂ mean(δ x̂) over a population of c features, p positions and b samples.

    From covariances only the first mean is taken: x̂ is alike at near positions, of which δ is not known to be.
    """
    n = p * b * c
    g, h, s = seen.second, seen.across_positions, seen.across_samples
    others = (b - 1) * p
    of_mean = (g + (p - 1) * h + others * s) / n
    along = (g * hat.second + (p - 1) * h * hat.across_positions + others * s * hat.across_samples) / n
    left = seen.become(np.maximum(g - of_mean - along, 0.0), h - of_mean, s - of_mean if b > 1 else s * (1 - 1 / c))
    return replace(left, profile=seen.profile)  # the positions are the same


def call_name(call: Call) -> str:
    """What the tensor is called in the schema."""
    return "input" if "input" in call.values else "self"


def _channels(x: State) -> State:
    """Features along the second axis, whatever it was taken for."""
    if len(x.axes) < 2 or kinds_of(x.axes[1]) <= {Kind.FEATURE}:
        return x
    raise NoRule("its second axis does not count features")


def _normalised(x: State, v: Array, taken: tuple[Array, Array, Array]) -> State:
    """(x − m)/√v, where E m² and the products of m at two positions and in two samples are `taken`.

    A marginal keeps its shape: what makes features differ from one another is gone, what is left is spread as before.
    """
    by = 1 / np.sqrt(np.maximum(v, 1e-300))
    moments = (x.second, x.across_positions, x.across_samples)
    second, positions, samples = ((k - t) * by**2 for k, t in zip(moments, taken, strict=True))
    zero = np.zeros_like(by)
    return replace(
        x,
        mean=zero,
        second=second,
        across_positions=positions,
        across_samples=samples,
        marginal=None if x.marginal is None else latent.moved(x.marginal, zero, second),
        latents=None,
        draws=NOTHING,
        fixed=True,
        profile=_flattened(x, taken[0]),
    )


def _flattened(x: State, taken: Array) -> Profile | None:
    """How second moments are spread over positions once each feature's mean m is gone.

    At a border, where a share p of the taps is inside, x has the share p of its second moment q and of its product with
    m: E (x_t − m)² = p q − 2 p E m² + E m².
    """
    q, k = x.average(x.second), x.average(taken - x.mean**2)
    if x.profile is None or not q > k:
        return None
    return tuple(np.maximum(p * (q - 2 * k) + k, 0.0) / (q - k) for p in x.profile)


class _Affine:
    """γ x̂ + β."""

    def __init__(self, scale: Weight | None, shift: Weight | None, rows: int) -> None:
        self.scale, self.shift, self.rows = scale, shift, rows
        self.mean, self.second = _moments(scale, rows, 1.0)
        self.shift_mean, self.shift_second = _moments(shift, rows, 0.0)

    def of(self, hat: State) -> State:
        varied = np.any(self.second - self.mean**2 > 1e-12) or np.any(self.shift_second - self.shift_mean**2 > 1e-12)
        if not varied:
            return hat.scaled(self.mean, self.shift_mean).beside(hat)

        def moment(k: Array) -> Array:
            return np.asarray(self.second * k + 2 * self.mean * hat.mean * self.shift_mean + self.shift_second)

        return gaussian(
            hat.axes,
            hat.sizes,
            self.mean * hat.mean + self.shift_mean,
            moment(hat.second),
            moment(hat.across_positions),
            moment(hat.across_samples),
            marks=hat.marks,
        ).beside(hat)

    def back(self, seen: GradientMoments) -> GradientMoments:
        return seen.times(self.second)

    def through(self, gradient: Gradient, x: State, out: State, left: GradientMoments) -> Gradient:
        """What is left of a gradient before the norm.

        It depends on the latent as it did behind it, but for a Gaussian that is a sum of many: what made that will not ask.
        """
        asked = x.marginal is not None or (x.terms is not None and x.terms.count <= FEW_TERMS)
        return depending(gradient, x, left) if out.root is x.root and asked else left.flow()

    def squares(self, gradient: Gradient, out: State, hat: State) -> tuple[float, float]:
        """E (Σ δ x̂)² and E (Σ δ)² of a feature, over samples and positions."""
        if len(gradient) == 1:
            (flow,) = gradient.values()
            if flow.blind is not None and len(flow.blind.signal) == len(out.sizes):
                one = np.broadcast_to(flow.factor, out.values.shape)
                return _beside(flow, flow.blind, one * hat.values, out), _beside(flow, flow.blind, one, out)
        seen = total(gradient, out)
        n, p = out.samples * out.positions, out.positions
        if hat.bins is not None:
            return met(hat.bins, *seen.in_bins(out, hat.bins.counts), out.samples), seen.summed(out)
        squared = (
            seen.second * hat.second
            + (p - 1) * seen.across_positions * hat.across_positions
            + (n - p) * seen.across_samples * hat.across_samples
        )
        return n * out.average(squared), seen.summed(out)

    def weights(self, squares: tuple[float, float]) -> Pulled:
        """The gradients of γ and β."""
        if self.scale is not None:
            yield "weight", WeightGradient(max(squares[0], 0.0))
        if self.shift is not None:
            yield "bias", WeightGradient(max(squares[1], 0.0))


def _beside(flow: Flow, blind: Blind, values: Array, out: State) -> float:
    """E (Σ δ f(z))² of a carrier that is orthogonal to x and to 1, but for what is left of that along x."""
    rest, share = blind.beside(values)
    n, p = out.samples * out.positions, out.positions
    alike = latent.covariances(rest, out.correlations)
    squared = flow.second * latent.expectation(rest**2)
    squared = squared + (p - 1) * flow.across_positions * alike[0] + (n - p) * flow.across_samples * alike[1]
    return max(n * out.average(squared) + float(np.mean(share**2)) * blind.along, 0.0)


def _affine(call: Call, hat: State) -> tuple[State, _Affine]:
    scale, shift = (w if isinstance(w, Weight) else None for w in (call["weight"], call["bias"]))
    affine = _Affine(scale, shift, len(hat.sizes))
    return affine.of(hat), affine


def _moments(weight: Weight | None, rows: int, without: float) -> tuple[Array, Array]:
    if weight is None:
        return np.full(rows, without), np.full(rows, without**2)
    share = weight.sizes / weight.sizes.sum()
    return np.full(rows, share @ weight.mean), np.full(rows, share @ weight.second)


def _buffer(value: Any, otherwise: float) -> float:
    if isinstance(value, Constant) and value.array.size:
        return float(np.mean(value.array))
    return otherwise


def _further(call: Call, out: State) -> list[State]:
    """Saved statistics and new running averages, which no signal flows through."""
    return [gaussian((), [1], 0.0, 1.0, 1.0, 1.0) for _ in call.node.shapes[1:]]
