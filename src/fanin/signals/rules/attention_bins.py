"""Attention where positions are not alike, for the rules of attention in one operation and written out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fanin.signals.attention import Along, Logits
from fanin.signals.attention_bins import BinnedAttended, BinnedLogits, Spreading
from fanin.signals.axes import Axes, Kind, count
from fanin.signals.bins import Counts, over_pairs
from fanin.signals.bins_back import coarser
from fanin.signals.gradient import GradientMoments
from fanin.signals.latent import Array
from fanin.signals.softmax import Mask, Rows
from fanin.signals.softmax_bins import BinnedRows, binned_rows
from fanin.signals.state import State, gaussian


class Received(NamedTuple):
    """What came back to the attention weights from one product A·V: as `attention.Received`, by bin."""

    own: Array
    shared: Array
    alike: Array
    alike_of_two: Array
    plain: float


@dataclass(frozen=True, eq=False)
class Binned:
    """The softmax of one attention, by bin of queries and of keys."""

    logits: Logits
    rows: BinnedRows
    queries: Counts
    keys: Counts
    received: list[Received] = field(default_factory=list)

    @classmethod
    def of(cls, logits: Logits, variance: float, mask: Mask, counts: tuple[Counts, Counts]) -> Binned:
        """With logits of this variance over the keys."""
        return cls(logits, binned_rows(variance, logits.width, logits.correlation, mask, *counts), *counts)

    @property
    def all_rows(self) -> Rows:
        """The averages over all queries, the entropy left out."""
        rows, share = self.rows, self.queries / self.queries.sum()
        of_two = [over_pairs(self.queries, np.stack([x, x]))[0] for x in (rows.shared.sum(-1), rows.slope_shared)]
        own = (float(share @ x.sum(1)) for x in (rows.overlap, rows.slope, rows.to_key))
        overlap, slope, to_key = own
        to_query, drift = float(share @ rows.to_query), float(share @ rows.drift)
        return Rows(overlap, of_two[0], slope, of_two[1], to_query, to_key, drift, float("nan"))

    def attended(self, value: State, width: int, features: int, keep: float, repeats: int) -> BinnedAttended:
        """Its product with V."""
        by_bin = value.in_bins(self.keys)
        return BinnedAttended(self.rows, self.queries, by_bin, width, self.logits.correlation, features, keep, repeats)

    def returned(self, repeats: tuple[int, int], further: float = 0.0) -> tuple[GradientMoments, GradientMoments]:
        """The gradients of Q and K, of which each head meets so many of the other."""
        query, key = self.logits.query.state, self.logits.key.state
        own = sum((r.own for r in self.received), np.full_like(self.rows.overlap, further))
        shared = sum((r.shared for r in self.received), np.zeros_like(self.rows.slope_shared))
        alike: Array = sum((r.alike for r in self.received), np.zeros(()))
        of_two: Array = sum((r.alike_of_two for r in self.received), np.zeros(()))
        law = BinnedLogits(
            self.rows, query.in_bins(self.queries), key.in_bins(self.keys), self.logits.scale, self.logits.features
        )
        of_query = gradient_in_bins(query, self.queries, law.to_query(own, shared, alike, of_two))
        return of_query.times(repeats[0]), gradient_in_bins(key, self.keys, law.to_key(own, shared, repeats[1]))

    def to_scores(self) -> float:
        """E (∂loss/∂L_ij)²."""
        own = sum((r.own for r in self.received), np.zeros_like(self.rows.overlap))
        return float(self.queries @ (own * self.rows.slope).sum(1)) / float(self.queries.sum() * self.keys.sum())


def attended_in_bins(product: BinnedAttended, value: State, axes: Axes, marks: frozenset[str]) -> State:
    """The result of A·V, with V's segments unless heads are repeated."""
    sizes: Sequence[int] | Counts = value.sizes if product.repeats == 1 else [count(axes, Kind.FEATURE)]
    return gaussian(
        axes,
        sizes,
        value.mean,
        value.second,
        value.across_positions,
        value.across_samples,
        draws=value.draws,
        marks=value.marks | marks,
    ).binned(product.moments())


def gradient_in_bins(state: State, counts: Counts, moments: Spreading) -> GradientMoments:
    """The gradient of a state, the same for all its segments, in its own bins if these are coarser."""
    if state.bins is not None and len(state.bins.counts) < len(counts):
        counts, moments = state.bins.counts, coarser(counts, state.bins.counts, *moments)
    one = np.ones(len(state.sizes))
    return GradientMoments(one, one, one).spread_over(state, counts, *moments)


def keys_fit(value: Along, binned: Binned) -> bool:
    """Whether values can be seen in the bins of the keys."""
    bins = value.state.bins
    ends = np.cumsum(binned.keys)
    within = bins is None or bool(np.isin(np.cumsum(bins.counts), ends).all())
    return within and value.entries == value.size == ends[-1]
