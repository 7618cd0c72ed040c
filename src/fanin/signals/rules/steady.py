"""What is nearly the same everywhere, as a mean over many features: it moves a signal, but not its latent.

So that norms that are written out, (x − mean x) · rsqrt(var x + ε), compose as one operation would.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from fanin.signals import latent
from fanin.signals.bins import SAME, Bins
from fanin.signals.broadcast import gathered
from fanin.signals.draws import together
from fanin.signals.flow import Gradient
from fanin.signals.gradient import total
from fanin.signals.latent import Array
from fanin.signals.state import State

STEADY: Final = 0.25  # variance beside that of the other operand, or beside its own square: what still keeps the latent


def is_steady(narrow: State, wide: State, other: State) -> bool:
    """Whether an operand is made of means over the other's entries, and varies little, or as their squares do."""
    if _of_squares(other, narrow) is not None:
        return True
    if narrow.root.averages is not other.root and (narrow.features > 1 or other.features == 1):
        return False
    if wide.bins is not None:  # at one position; from one to another it may vary
        at = wide.bins
        of_other = other.in_bins(at.counts).variance
        return bool((at.variance <= STEADY * np.maximum(of_other, at.mean**2)).all())
    return bool((wide.variance <= STEADY * np.maximum(other.variance, wide.mean**2)).all())


def shifted(x: State, y: State, a: float, b: float, exact: State) -> State:
    """a·x + b·y with a y that is nearly the same everywhere: still a function of the latent of x.

    Args:
        exact: of the right moments.
    """
    return replace(
        x.scaled(a, b * y.mean),
        second=exact.second,
        across_positions=exact.across_positions,
        across_samples=exact.across_samples,
        latents=None,
        draws=exact.draws,
        marks=exact.marks,
    )


def is_mean(mean: State, x: State) -> bool:
    """Whether one operand is the mean of the other over some axes."""
    of = mean.mean_of
    return (
        of is not None
        and of.root is x.root
        and of.features == x.features
        and np.allclose(of.pooled().second, x.pooled().second)
    )


def without_mean(x: State, mean: State, by: float = 1.0) -> State:
    """`by · (x − m)`, m the mean of x: E x m = E m², so that every moment is the difference of both."""
    second = np.maximum(x.second - mean.second, 0.0)
    with np.errstate(all="ignore"):
        left = np.nan_to_num(np.sqrt(second / x.variance), nan=0.0)
    return replace(
        x.scaled(by * left, -by * left * x.mean),
        mean=by * (x.mean - mean.mean),
        second=by**2 * second,
        across_positions=by**2 * (x.across_positions - mean.across_positions),
        across_samples=by**2 * (x.across_samples - mean.across_samples),
        latents=None,
    )


def also_lost(gradient: Gradient, wide: State, mean: State, x: State) -> Gradient:
    """What has to be taken from the gradient of x in x − m, so that with what comes back through m it is δ − mean δ.

    The two parts are added as if they were independent, g + ḡ, where they have the opposite sign: g − ḡ.
    """
    entries = x.samples * x.positions * x.features / (mean.samples * mean.positions * mean.features)
    seen = total(gathered(gradient, wide, mean), mean).times(1 / entries**2)
    g, h, s = (
        m if len(mean.sizes) == len(x.sizes) else np.full(len(x.sizes), mean.average(m))
        for m in (seen.second, seen.across_positions, seen.across_samples)
    )
    rp, rb = x.positions / mean.positions, x.samples / mean.samples
    if rp > 1:
        share = (rp - 1) / (x.positions - 1)
        h = share * g + (1 - share) * h
    if rb > 1:
        share = (rb - 1) / (x.samples - 1)
        s = share * (g + (x.positions - 1) * h) / x.positions + (1 - share) * s
    return seen.become(-2 * g, -2 * h, -2 * s).flow()


def stretched(x: State, y: State) -> State:
    """X · y with a y that is nearly the same everywhere: still a function of the latent of x.

    Where y is made of means over entries of x, each is part of it: to the order 1/n that cancels what y varies.
    """
    second, positions, samples = y.second, y.across_positions, y.across_samples
    if y.root.averages is x.root:
        second = positions = samples = as_met(x, y)
    return replace(
        x.scaled(np.sqrt(second) * np.sign(y.mean)),
        mean=x.mean * np.sqrt(second) * np.sign(y.mean),
        second=x.second * second,
        across_positions=x.across_positions * positions,
        across_samples=x.across_samples * samples,
        latents=None,
        draws=together([(1.0, x.draws), (1.0, y.draws)]),
        marks=x.marks | y.marks,
    )


def left_without(x: Bins, mean: Bins, by: float) -> Bins:
    """`without_mean`, by bin."""
    second = np.maximum(x.second - mean.second, 0.0)
    with np.errstate(all="ignore"):
        left = np.nan_to_num(np.sqrt(second / x.variance), nan=0.0)
    return replace(
        x.scaled(by * left, -by * left * x.mean),
        mean=by * (x.mean - mean.mean),
        second=by**2 * second,
        across=by**2 * (x.across - mean.across),
    )


def same_everywhere(x: Bins, y: Bins, met: Array | None) -> Bins:
    """`stretched`, by bin: the y of each bin is nearly one number.

    Args:
        met: E y² as entries of x meet it, where y is made of means over those.
    """
    second, across = y.second, y.across
    if met is not None:
        size = np.sqrt(met)
        second, across = met, np.multiply.outer(np.ones(2), np.outer(size, size))
    by = np.sqrt(second) * np.sign(y.mean)
    return replace(x.scaled(by), second=x.second * second, across=x.across * across)


def as_met(x: State, y: State) -> Array:
    """E x² y² over E x², y being made of a mean over entries of x; one a segment.

    Of m = mean x² over entries that are alike, Σ x² y² is n m y² whatever y makes of m: E x² y² = E m y². So a norm
    that is written out, y = 1/√(m + ε), leaves E m/(m + ε), as one operation would. Of other means, the median of y².
    """
    mean = _of_squares(x, y)
    if mean is None:
        return _median(y.values)
    apart = x.draws.along(y.draws) if y.draws.paths is not None else 0.0  # else y² is that at the mean of q
    return math.exp(apart) * _met(mean.values, y.values)


def as_met_in_bins(x: Bins, y: State, own: Bins) -> Array:
    """The same, by bin; `own` has those of y."""
    mean = y.root.mean
    of = None if mean is None or mean.mean_of is None else mean.mean_of.bins
    known = None if mean is None or of is None else mean.bins
    if known is None or of is None or not _is_square(of.repeated(x.counts).at_nodes, x.at_nodes):
        return _median(own.at_nodes)
    return _met(known.repeated(x.counts).at_nodes, own.at_nodes)


def _of_squares(x: State, y: State) -> State | None:
    """The mean of x² that y is made of; None where it is made of something else."""
    mean = y.root.mean
    if mean is None or mean.mean_of is None or y.root.averages is not x.root:
        return None
    return mean if _is_square(mean.mean_of.values, x.values) else None


def _is_square(averaged: Array, x: Array) -> bool:
    """Whether what was averaged is x², but for a factor."""
    if averaged.shape != x.shape:
        return False
    square, size = x**2, float((averaged @ latent.WEIGHTS).mean())
    by = float((square @ latent.WEIGHTS).mean()) / size if size > 0 else 0.0
    return by > 0 and bool(np.abs(square - by * averaged).max() <= SAME * square.max())


def _met(mean: Array, y: Array) -> Array:
    """E m y² over E m, row by row."""
    return np.asarray(latent.expectation(mean * y**2) / latent.expectation(mean))


def _median(y: Array) -> Array:
    middle = latent.COUNT // 2
    return np.asarray(y[:, middle - 1 : middle + 1].mean(1) ** 2)
