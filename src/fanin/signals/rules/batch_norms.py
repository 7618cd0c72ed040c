"""Norms over samples and positions, or over groups: each feature loses its mean and its size.

x̂ = (x − m)/√v is a stretched x: of the same latent, so that what follows is still a function of that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fanin.signals import latent
from fanin.signals.axes import Kind, kinds_of
from fanin.signals.distribution import Terms
from fanin.signals.draws import NOTHING
from fanin.signals.flow import Gradient
from fanin.signals.gradient import GradientMoments, total
from fanin.signals.latent import Array
from fanin.signals.orthogonal import Normed
from fanin.signals.places import Places
from fanin.signals.rules.affine import affine_of, call_name, further
from fanin.signals.rules.sizes import Sizes, freedom, freedom_of_inverse, inverse_moment, tails
from fanin.signals.state import State
from fanin.signals.taps import Profile, fitting
from fanin.signals.values import Call, Constant, NoRule, Outcome, Pulled


def batch_norm(call: Call) -> Outcome:
    """Batch norm in training: v = q − E m_c² + ε by segment, m_c the mean of a feature over the batch.

    Backward: δ_x = γ/√v (δ − mean δ − x̂ mean(δ x̂)), so that what all samples share is gone. The variances of features
    are spread as χ² of ν degrees of freedom, and E 1/v = ν/(ν − 2)/E v.

    Reference: Ioffe & Szegedy 2015; Yang et al. 2019.
    """
    given = _channels(call.state("input"))
    x = _of_one_scale(given)
    eps = call.get("eps", 1e-5)
    v = x.second - x.channel_second + eps
    hat = _normalised(x, v, (x.channel_second,) * 3)
    sizes = Sizes(x, _of_batch(x, given.places))
    hat = _heavy(hat, x.terms)
    if given.places is not None:
        hat = hat.with_places(given.places.changed((given.places.second - x.channel_second) / np.maximum(v, 1e-300)))
    out, affine = affine_of(call, hat)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        squares = affine.squares(gradients[0], out, hat)
        yield from affine.weights(squares)
        along = float(np.mean(affine.second * (eps / v) ** 2 * sizes.inverse_square)) * squares[0]
        taken = x.average(affine.second) * squares[0] / (x.samples * x.positions) ** 2
        left = _projected(affine.back(seen), hat, x.positions, x.samples, taken=taken).times(sizes.inverse / v)
        left = replace(left, normed=Normed(sizes.by_weights, sizes.by_features, along), owed=seen.owed)
        yield call_name(call), affine.through(gradients[0], x, out, left)

    return Outcome((out, *further(call, out)), pull)


def _of_batch(x: State, places: Places | None) -> Array:
    """ν of a variance over a batch: of means of samples, of positions beside them, and of the map that all share."""
    b, p = x.samples, x.positions
    own = np.maximum(x.second - x.across_positions, 0.0)
    of_samples = (b - 1, np.maximum(own + p * (x.across_positions - x.across_samples), 0.0))
    if places is None or b == 1 or p == 1:
        return freedom(of_samples, (b * (p - 1), own))
    of_map = np.clip(p * (places.second - x.across_samples), 0.0, (p - 1) * own)
    modes = min(places.modes, p - 1.0)
    rest = own - of_map / (p - 1)
    return freedom_of_inverse(of_samples, (b * (p - 1) - modes, rest), (modes, rest + b * of_map / modes))


def _of_one_scale(x: State) -> State:
    """Each channel as a Gaussian: how their scales differ is what the norm takes away."""
    if x.terms is None or not x.terms.alone or x.marginal is None:
        return x
    return replace(x, marginal=None, latents=None).of_terms(x.terms)


def _heavy(hat: State, terms: Terms | None) -> State:
    """With the tails of a sum of few terms."""
    shape = tails(terms) if hat.marginal is None else None
    if shape is None:
        return hat
    return replace(hat, marginal=latent.moved(np.tile(shape, (len(hat.sizes), 1)), hat.mean, hat.variance))


def batch_norm_eval(call: Call) -> Outcome:
    """Batch norm with its running statistics: an affine map of each feature."""
    x = _channels(call.state("input"))
    mean, variance = (_buffer(call[name], at) for name, at in (("running_mean", 0.0), ("running_var", 1.0)))
    std = math.sqrt(variance + call.get("eps", 1e-5))
    hat = x.scaled(1 / std, -mean / std)
    out, affine = affine_of(call, hat)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        yield from affine.weights(affine.squares(gradients[0], out, hat))
        yield call_name(call), affine.through(gradients[0], x, out, affine.back(seen).times(1 / std**2))

    return Outcome((out, *further(call, out)), pull)


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
    out, affine = affine_of(call, hat)
    own = np.maximum(second - k, 0.0)
    jensen = inverse_moment(freedom((c - 1, own + p * np.maximum(k - mean**2, 0.0)), (c * (p - 1), own)))

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        yield from affine.weights(affine.squares(gradients[0], out, hat))
        back = affine.back(seen)
        left = _projected(back, hat, p, 1, c).times(jensen / v)
        yield call_name(call), affine.through(gradients[0], x, out, left)

    return Outcome((out, *further(call, out)), pull)


def _projected(
    seen: GradientMoments, hat: State, p: int, b: int, c: float = 1, taken: float | None = None
) -> GradientMoments:
    """δ − mean δ − x̂ mean(δ x̂) over a population of c features, p positions and b samples.

    From covariances only the first mean is taken: x̂ is alike at near positions, of which δ is not known to be.

    Args:
        taken: E mean(δ x̂)², which is that of the gradient of a scale; without it, as if both were independent.
    """
    n = p * b * c
    g, h, s = seen.second, seen.across_positions, seen.across_samples
    others = (b - 1) * p
    of_mean = (g + (p - 1) * h + others * s) / n
    along = (g * hat.second + (p - 1) * h * hat.across_positions + others * s * hat.across_samples) / n
    if taken is not None:
        known = hat.average(along)
        along = along * (taken / known) if known > 0 else np.full_like(along, taken)
    left = seen.become(np.maximum(g - of_mean - along, 0.0), h - of_mean, s - of_mean if b > 1 else s * (1 - 1 / c))
    return replace(left, profile=seen.profile)  # the positions are the same


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
        squares=_without_sum(x),
        profile=_flattened(x, taken[0]),
    )


def _without_sum(x: State) -> tuple[float, float]:
    """How squares go together when a norm has made Σ x̂² over samples and positions what it is."""
    if not any(x.squares):
        return x.squares
    n, p = x.samples * x.positions, x.positions
    at_positions, at_samples = x.squares
    whole = (1 + (p - 1) * at_positions + (n - p) * at_samples) / n
    return at_positions - whole, at_samples - whole


def _flattened(x: State, taken: Array) -> Profile | None:
    """How second moments are spread over positions once each feature's mean m is gone: q_t − 2 E x_t m + E m².

    At a border, where a share p of the taps is inside, x has the share p of its second moment and of E x_t m. What is
    only smaller there, as behind kernels of one tap, has √p of that.
    """
    q, k = x.average(x.second), x.average(taken - x.mean**2)
    if x.profile is None or not q > k:
        return None
    roots = [np.sqrt(p) for p in x.profile]
    reach = fitting(x.reach, [len(p) for p in x.profile]) if x.reach is not None else [r / r.mean() for r in roots]
    return tuple(np.maximum(p * q - 2 * r * k + k, 0.0) / (q - k) for p, r in zip(x.profile, reach, strict=True))


def _buffer(value: Any, otherwise: float) -> float:
    if isinstance(value, Constant) and value.array.size:
        return float(np.mean(value.array))
    return otherwise
