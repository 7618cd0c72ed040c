"""Sums and products of tensors whose positions are not alike: what `pointwise` does to all, by bin."""

from __future__ import annotations

from dataclasses import replace

from fanin.signals.bins import MOST, Bins, Counts, refined
from fanin.signals.gradient import GradientMoments
from fanin.signals.rules.steady import is_mean, left_without, same_everywhere
from fanin.signals.state import State


def bins_of_two(x: State, y: State) -> Counts | None:
    """The bins in which both can be seen; None where neither has any, or they would be too many."""
    known = [s.bins.counts for s in (x, y) if s.bins is not None]
    if not known or x.positions != y.positions:
        return None
    counts = refined(known[0], known[-1])
    return counts if len(counts) <= MOST else None


def summed_in_bins(x: State, y: State, a: float, b: float, out: State) -> Bins | None:
    """A·x + b·y, in the cases of the sum of all."""
    counts = bins_of_two(x, y)
    if counts is None:
        return None
    u, v = x.in_bins(counts), y.in_bins(counts)
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


def multiplied_in_bins(x: State, y: State, out: State) -> Bins | None:
    """X · y, in the cases of the product of all."""
    counts = bins_of_two(x, y)
    if counts is None:
        return None
    u, v = x.in_bins(counts), y.in_bins(counts)
    if x.constant or y.constant:
        return u.scaled(v.mean) if y.constant else v.scaled(u.mean)
    if x.root is y.root:
        return u.of(u.at_nodes * v.at_nodes)
    if out.root is x.root:
        return same_everywhere(u, v, part_of=y.root.averages is x.root)
    if out.root is y.root:
        return same_everywhere(v, u, part_of=x.root.averages is y.root)
    return u.times(v)


def times_in_bins(seen: GradientMoments, out: State, other: Bins) -> GradientMoments:
    """The gradient of one factor, the other being independent."""
    second, across = seen.in_bins(out, other.counts)
    return seen.spread_over(out, other.counts, second * other.second, across * other.across)
