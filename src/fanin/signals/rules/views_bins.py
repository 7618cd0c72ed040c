"""Positions of different kinds put side by side, and some of them taken out: a class token among patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fanin.signals.axes import size_of
from fanin.signals.bins import MOST, Bins, Counts, pairs
from fanin.signals.flow import Gradient
from fanin.signals.gradient import GradientMoments
from fanin.signals.latent import Array
from fanin.signals.state import State


@dataclass(frozen=True, eq=False)
class Cut:
    """Some positions of a whole.

    Attributes:
        at: the bins they are in.
        counts: how many are in each of these.
    """

    at: Counts
    counts: Counts

    @classmethod
    def of(cls, counts: Counts, chosen: Counts) -> Cut:
        """These positions of a tensor in bins."""
        return cls(*np.unique(np.searchsorted(np.cumsum(counts), chosen, side="right"), return_counts=True))

    def back(self, whole: Counts, second: Array, across: Array) -> tuple[Array, Array]:
        """The moments of the gradient of the whole, which is 0 at all other positions."""
        n = len(whole)
        g, h = np.zeros(n), np.zeros((2, n, n))
        own = whole[self.at]
        g[self.at] = second * self.counts / own
        all_pairs = pairs(own)
        within = np.where(all_pairs > 0, pairs(self.counts) / np.where(all_pairs > 0, all_pairs, 1), 0.0)
        share = self.counts / own
        h[0][np.ix_(self.at, self.at)] = across[0] * within
        h[1][np.ix_(self.at, self.at)] = across[1] * np.outer(share, share)
        return g, h


def one_after_another(parts: Sequence[State], dim: int) -> Bins | None:
    """Of parts that have nothing in common but their means; None where positions have other axes, or bins are many."""
    if any(s.positions != size_of(s.axes[dim]) for s in parts):
        return None
    own = [s.in_bins(np.array([s.positions]) if s.bins is None else s.bins.counts) for s in parts]
    counts, mean, second = (np.concatenate([getattr(b, what) for b in own]) for what in ("counts", "mean", "second"))
    if not 2 <= len(counts) <= MOST:
        return None
    across = np.repeat(np.outer(mean, mean)[None], 2, 0)
    start = 0
    for b in own:
        at = slice(start, start + len(b.counts))
        across[:, at, at] = b.across
        start += len(b.counts)
    values = None if all(b.values is None for b in own) else np.concatenate([b.at_nodes for b in own])
    return Bins(counts, mean, second, across, values)


def parts_of(seen: GradientMoments, out: State, bins: Bins, parts: Sequence[State]) -> Iterator[Gradient]:
    """The gradient of each part of a whole in bins."""
    second, across = seen.in_bins(out, bins.counts)
    start = 0
    for s in parts:
        counts = np.array([s.positions]) if s.bins is None else s.bins.counts
        at = slice(start, start + len(counts))
        start += len(counts)
        like = seen if len(s.sizes) == len(out.sizes) else everywhere(seen, out, s)
        yield like.spread_over(s, counts, second[at], across[:, at, at]).flow()


def everywhere(seen: GradientMoments, out: State, x: State) -> GradientMoments:
    """The average over the features of `out`, at each segment of `x`."""
    return seen.each(lambda m: np.full(len(x.sizes), out.average(m)))


def side_by_side(parts: Sequence[State], shares: Sequence[float]) -> Bins | None:
    """Of features of the same positions: the average over all."""
    counts = next((s.bins.counts for s in parts if s.bins is not None), None)
    if counts is None or any(s.bins is not None and not np.array_equal(s.bins.counts, counts) for s in parts):
        return None
    own = [s.in_bins(counts) for s in parts]
    mean, second, across = (
        np.sum([w * getattr(b, what) for w, b in zip(shares, own, strict=True)], axis=0)
        for what in ("mean", "second", "across")
    )
    return Bins(counts, mean, second, across)
