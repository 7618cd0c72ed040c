"""Tensors that are distributed as a state says, and the moments of tensors.

A tensor is drawn as x = F(z), z = √ρ_s a_c + √(ρ_p − ρ_s) b_{c,s} + √(1 − ρ_p) e_{c,s,t}: each feature has a part that
all samples share, one that the positions of a sample share, and one of its own.
"""

from __future__ import annotations

import math

import numpy as np

from fanin.signals import latent
from fanin.signals.axes import Axes, Kind, count
from fanin.signals.distribution import Sizes
from fanin.signals.latent import Array
from fanin.signals.state import State

S, P, C = Kind.SAMPLE, Kind.POSITION, Kind.FEATURE


def measure(array: Array, axes: Axes) -> dict[str, float]:
    """Mean, second moment and covariances of a tensor whose axes count these."""
    found = moments_of(cube(np.asarray(array, dtype=np.float64), axes))
    names = ("mean", "second", "across_positions", "across_samples")
    return {name: float(x[0]) for name, x in zip(names, found, strict=True) if x is not None}


def moments_of(x: Array, sizes: Sizes | None = None) -> tuple[Array, Array, Array | None, Array | None]:
    """E x, E x², and the mean products of two positions and of two samples; None where there is one of them.

    Args:
        x: (samples, positions, features).
        sizes: of segments of the features; one if there are none.
    """
    b, p, c = x.shape
    of = np.array([c]) if sizes is None else sizes
    starts = np.cumsum(of) - of
    of_sample = x.sum(1)
    squares, of_samples, of_all = (x * x).sum((0, 1)), (of_sample**2).sum(0), of_sample.sum(0) ** 2

    def by_segment(of_features: Array, pairs: int) -> Array:
        return np.asarray(np.add.reduceat(of_features, starts) / (of * pairs))

    return (
        by_segment(of_sample.sum(0), b * p),
        by_segment(squares, b * p),
        by_segment(of_samples - squares, b * p * (p - 1)) if p > 1 else None,
        by_segment(of_all - of_samples, b * (b - 1) * p * p) if b > 1 else None,
    )


def cube(array: Array, axes: Axes) -> Array:
    """As (samples, positions, features)."""
    order, shape = _order(axes)
    sizes = [size for a in axes for _, size in a]
    return array.reshape(sizes or [1]).transpose(order or [0]).reshape(shape)


def _order(axes: Axes) -> tuple[list[int], tuple[int, int, int]]:
    kinds = [kind for a in axes for kind, _ in a]
    order = [at for kind in (S, P, C) for at, k in enumerate(kinds) if k is kind]
    return order, (count(axes, S), count(axes, P), count(axes, C))


def draw(state: State, random: np.random.Generator) -> Array:
    """A tensor with these moments."""
    positions, samples = state.correlations
    rows = np.repeat(np.arange(len(state.sizes)), state.sizes)
    z = three_levels(positions[rows], samples[rows], state, random)
    x = np.empty_like(z)
    for row, values in enumerate(state.values):
        x[..., rows == row] = np.interp(z[..., rows == row], latent.NODES, values)
    return uncubed(x, state.axes)


def draw_levels(second: float, positions: float, samples: float, state: State, random: np.random.Generator) -> Array:
    """A Gaussian tensor of zero mean with these moments, whose axes are those of a state."""
    size = max(second, 1e-300)
    alike, common = (np.full(state.features, k / size) for k in (positions, samples))
    return uncubed(math.sqrt(size) * three_levels(alike, common, state, random), state.axes)


def three_levels(positions: Array, samples: Array, state: State, random: np.random.Generator) -> Array:
    """Z as (samples, positions, features), of these correlations by feature."""
    b, p, c = state.samples, state.positions, state.features
    common, of_sample, own = (random.standard_normal(shape) for shape in ((1, 1, c), (b, 1, c), (b, p, c)))
    samples = np.clip(samples, 0, 1)
    positions = np.clip(positions, samples, 1)
    return np.asarray(
        np.sqrt(samples) * common + np.sqrt(positions - samples) * of_sample + np.sqrt(1 - positions) * own
    )


def uncubed(x: Array, axes: Axes) -> Array:
    """From (samples, positions, features)."""
    order, _ = _order(axes)
    sizes = [size for a in axes for _, size in a]
    moved = x.reshape([sizes[at] for at in order] or [1])
    back = moved.transpose(np.argsort(order)) if order else moved
    return np.asarray(back.reshape([math.prod(size for _, size in a) for a in axes]))
