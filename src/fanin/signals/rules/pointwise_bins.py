"""Sums and products of tensors whose positions are not alike: what `pointwise` does to all, by bin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fanin.signals.axes import Axes, Kind, kinds_of
from fanin.signals.bins import MOST, Bins, Counts, pairs, refined
from fanin.signals.gradient import GradientMoments
from fanin.signals.rules.steady import as_met_in_bins, is_mean, left_without, same_everywhere
from fanin.signals.state import State
from fanin.signals.values import Constant


def bins_of_two(x: State, y: State) -> Counts | None:
    """The bins in which both can be seen; None where neither has any, or they would be too many."""
    known = [s.bins.counts for s in (x, y) if s.bins is not None]
    if not known or x.positions != y.positions:
        return None
    counts = refined(known[0], known[-1])
    return counts if len(counts) <= MOST else None


def both_in_bins(values: Sequence[Any], states: Sequence[State]) -> tuple[Bins, Bins] | None:
    """Two operands, of whose values some are known, as states that are expanded to the same axes."""
    counts = bins_of_two(*states)
    if counts is None:
        return None
    first, second = (
        _known(value, s.axes, counts) or s.in_bins(counts) for value, s in zip(values, states, strict=True)
    )
    return first, second


def _known(value: Any, axes: Axes, counts: Counts) -> Bins | None:
    """Moments by bin of a tensor whose values are known, as those of rotary positions."""
    array = value.array if isinstance(value, Constant) else np.zeros(())
    at = [i - len(axes) for i, own in enumerate(axes) if Kind.POSITION in kinds_of(own)]
    if len(at) != 1 or -at[0] > array.ndim or array.shape[at[0]] != counts.sum():
        return None
    x = np.moveaxis(array, at[0], 0).reshape(int(counts.sum()), -1).astype(np.float64)
    starts = np.cumsum(counts) - counts
    sums = np.add.reduceat(x, starts, axis=0)
    second = np.add.reduceat((x**2).mean(1), starts)
    products = sums @ sums.T / x.shape[1]
    many = pairs(counts)
    positions = np.where(many > 0, (products - np.diag(second)) / np.where(many > 0, many, 1), np.diag(second))
    across = np.stack([positions, products / np.outer(counts, counts)])
    return Bins(counts, sums.mean(1) / counts, second / counts, across)


def summed_in_bins(x: State, y: State, a: float, b: float, out: State, bins: tuple[Bins, Bins] | None) -> Bins | None:
    """A·x + b·y, in the cases of the sum of all."""
    if bins is None:
        return None
    u, v = bins
    if x.root is y.root:
        return u.of(a * u.at_nodes + b * v.at_nodes)
    if x.constant or y.constant:
        return u.scaled(a, b * v.mean) if y.constant else v.scaled(b, a * u.mean)
    if b == -a and is_mean(y, x):
        return left_without(u, v, a)
    exact = u.plus(v, a, b)
    if out.root is x.root or out.root is y.root:
        moved = u.scaled(a, b * v.mean) if out.root is x.root else v.scaled(b, a * u.mean)
        return replace(moved, second=exact.second, across=exact.across)
    return exact


def multiplied_in_bins(x: State, y: State, out: State, bins: tuple[Bins, Bins] | None) -> Bins | None:
    """X · y, in the cases of the product of all."""
    if bins is None:
        return None
    u, v = bins
    if x.constant or y.constant:
        return u.scaled(v.mean) if y.constant else v.scaled(u.mean)
    if x.root is y.root:
        return u.of(u.at_nodes * v.at_nodes)
    if out.root is x.root:
        return same_everywhere(u, v, as_met_in_bins(u, y, v) if y.root.averages is x.root else None)
    if out.root is y.root:
        return same_everywhere(v, u, as_met_in_bins(v, x, u) if x.root.averages is y.root else None)
    return u.times(v)


def times_in_bins(seen: GradientMoments, out: State, other: Bins) -> GradientMoments:
    """The gradient of one factor, the other being independent."""
    second, across = seen.in_bins(out, other.counts)
    return seen.spread_over(out, other.counts, second * other.second, across * other.across)
