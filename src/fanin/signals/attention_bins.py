"""Attention where positions are not alike: `attention`, with each average taken by bin of queries and of keys.

One bin of each gives its formulas back, but for the width: there rows are averaged that see one key and a thousand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fanin.signals.attention import Along
from fanin.signals.axes import Kind
from fanin.signals.bins import MOST, Bins, Counts, octaves, pairs, refined
from fanin.signals.latent import Array
from fanin.signals.softmax import Mask
from fanin.signals.softmax_bins import BinnedRows

Spreading = tuple[Array, Array]  # moments by bin: second, across


def bins_of(mask: Mask, query: Along, key: Along, value: Along) -> tuple[Counts, Counts] | None:
    """Bins of queries and of keys; None where all are alike, or where attention mixes but some of the positions."""
    sides = (query, key, value)
    if any(side.kind is not Kind.POSITION or side.entries != side.size for side in sides):
        return None
    uneven = bool(np.ptp(mask.seen)) and mask.queries == mask.keys
    known = [side.state.bins for side in sides]
    if not uneven and known[1] is None and known[2] is None:
        return None
    counts = [octaves(n) if uneven else np.array([n]) for n in (mask.queries, mask.keys)]
    for at, bins in ((0, known[0]), (1, known[1]), (1, known[2])):
        if bins is not None:
            counts[at] = refined(counts[at], bins.counts)
    return (counts[0], counts[1]) if 2 <= max(map(len, counts)) <= MOST and len(counts[0]) > 1 else None


def _apart(x: Bins) -> Array:
    """Covariances of two positions; of a bin of one position, as with its neighbour."""
    across = np.array(x.across)
    for at in np.flatnonzero(x.counts == 1):
        across[:, at, at] = across[:, at, at + 1 if at + 1 < len(x.counts) else at - 1] if len(x.counts) > 1 else 0.0
    return across


@dataclass(frozen=True, eq=False)
class BinnedAttended:
    """One product A·V; attributes as of `Attended`.

    Attributes:
        queries: in each bin.
        value: V by bin of keys.
    """

    rows: BinnedRows
    queries: Counts
    value: Bins
    width: int
    correlation: float
    features: int
    keep: float = 1.0
    repeats: int = 1

    def moments(self) -> Bins:
        """Of the result: q'_b = Σ_cc' E m_c m_c' K_cc' + Σ_c (q_c − K_cc) E Σ A², and so for two queries."""
        rows, v, k = self.rows, self.value, _apart(self.value)
        own = np.diagonal(k[0])
        overlap, shared = self._overlap, self._shared
        second = np.einsum("bcd,cd->b", rows.masses, k[0]) + overlap @ (v.second / self.keep - own)
        positions = rows.mass @ k[0] @ rows.mass.T + shared @ (v.second - own)
        samples = rows.mass @ v.across[1] @ rows.mass.T
        return Bins(self.queries, rows.mass @ v.mean, second, np.stack([positions, samples]))

    @property
    def _overlap(self) -> Array:
        """With the one of C directions along the query."""
        sums = self.rows.overlap.sum(1)
        return np.asarray(self.rows.overlap * (1 + (_over(self.rows.drift, sums) - 1) / self.features)[:, None])

    @property
    def _shared(self) -> Array:
        sums = self.rows.shared.sum(-1)
        drift = max(self.correlation, 0.0) * np.sqrt(np.outer(self.rows.drift, self.rows.drift))
        return np.asarray(self.rows.shared * (1 + (_over(drift, sums) - 1) / self.features)[..., None])

    def to_value(self, second: Array, across: Array) -> Spreading:
        """∂loss/∂V_j = Σ_i A_ij δ_i, of a δ with these moments by bin of queries."""
        rows, n, keys = self.rows, self.queries, self.value.counts
        weight, both = n * second, pairs(n) * across[0]
        crossed = np.tensordot(both, rows.shared, 2)
        g = (weight @ rows.overlap / self.keep + crossed) / keys
        along = np.tensordot(weight, rows.masses, 1) - np.diag(weight @ rows.overlap)
        along = along + rows.mass.T @ both @ rows.mass - np.diag(crossed)
        many = pairs(keys)
        along = np.where(many > 0, along / np.where(many > 0, many, 1), np.diag(g))
        per_key = rows.mass * n[:, None] / keys
        return self.repeats * g, self.repeats * np.stack([along, per_key.T @ across[1] @ per_key])

    @property
    def differences(self) -> Array:
        """E (v_j − Σ_l A_il v_l)² of a key in bin c, as a query in bin b sees it; A² is left to the slopes."""
        return _differences(self.rows, self.value, self.value.second / self.keep)

    def received(self, second: Array, across: Array) -> tuple[Array, Array, Array, Array]:
        """∂loss/∂A_ij = δ_i·V_j, less what all keys of a query have in common.

        Variance over keys, by bin of queries and of keys; the same of two queries, (b, d); and the covariance of two
        keys for one query, (b, c, c'), and for two, (b, d, c, c').
        """
        seen = self.differences
        mean = _weighted(self.rows, seen)
        between = self.width * _between_keys(self.rows, self.value)
        return (
            self.width * second[:, None] * seen,
            self.width * across[0] * np.sqrt(np.outer(mean, mean)),
            second[:, None, None] * np.einsum("bbcd->bcd", between),
            across[0][..., None, None] * between,
        )

    def plain(self, second: Array) -> float:
        """E (∂loss/∂A_ij)², over all queries and keys."""
        of_keys = float(self.value.counts @ self.value.second) / float(self.value.counts.sum())
        return self.width * float(self.queries @ second) / float(self.queries.sum()) * of_keys / self.keep


@dataclass(frozen=True, eq=False)
class BinnedLogits:
    """C Q Kᵀ by bin; attributes as of `Logits`."""

    rows: BinnedRows
    query: Bins
    key: Bins
    scale: float
    features: int

    def to_query(self, received: Array, shared: Array, alike: Array, alike_of_two: Array) -> Spreading:
        """∂loss/∂Q_i = c Σ_j ∂loss/∂L_ij K_j.

        Keys of two bins may be more alike than others, and values with them: that adds Σ A A' E v v' E k k'.
        """
        rows, seen = self.rows, _differences(self.rows, self.key, self.key.second)
        aligned = ((1 - rows.overlap.sum(1)) ** 2 + rows.slope.sum(1)) / self.features
        mean, line = _weighted(rows, seen), np.sqrt(np.outer(aligned, aligned))
        keys = _between_keys(rows, self.key)
        own = np.einsum("bc,be,bce->b", rows.mass, rows.mass, alike * np.einsum("bbcd->bcd", keys))
        of_two = np.einsum("bc,de,bdce->bd", rows.mass, rows.mass, alike_of_two * keys, optimize=True)
        second = _weighted(rows, received * seen) * (rows.to_query + aligned) + np.maximum(own, 0.0)
        along = np.sqrt(np.outer(mean, mean)) * shared * (rows.slope_shared + line) + of_two
        return self.scale**2 * second, self.scale**2 * np.stack([along, np.zeros_like(along)])

    def to_key(self, received: Array, shared: Array, repeats: int = 1) -> Spreading:
        """∂loss/∂K_j = c Σ_i ∂loss/∂L_ij Q_i; those of all keys add up to 0."""
        rows, n, keys = self.rows, self.query.counts, self.key.counts
        own = (n * self.query.second) @ (received * rows.to_key)
        both = pairs(n) * _apart(self.query)[0] * shared * rows.slope_shared
        share = _over(rows.shared, rows.shared.sum(-1)[..., None])
        second = repeats * self.scale**2 * np.maximum(own + np.tensordot(both, share, 2), 0.0) / keys
        mean = float(keys @ second) / float(keys.sum())
        along = np.full((len(keys), len(keys)), -mean / max(float(keys.sum()) - 1, 1.0))
        return second, np.stack([along, np.zeros_like(along)])


def _over(a: Array, b: Array) -> Array:
    return np.asarray(a / np.where(b > 0, b, 1.0))


def _weighted(rows: BinnedRows, of: Array) -> Array:
    """The average over keys, each as much as the slope of a query's softmax reaches it."""
    return _over((rows.slope * of).sum(1), rows.slope.sum(1))


def _between_keys(rows: BinnedRows, x: Bins) -> Array:
    """E (x_j − x̄_i)(x_j' − x̄_i') of keys in bins c and c', as queries in b and d see them, (b, d, c, c')."""
    k = _apart(x)[0]
    attended = rows.mass @ k
    both = attended @ rows.mass.T
    return np.asarray(k - attended[None, :, :, None] - attended[:, None, None, :] + both[..., None, None])


def _differences(rows: BinnedRows, x: Bins, second: Array) -> Array:
    k = _apart(x)[0]
    attended = rows.mass @ k
    mean = (attended * rows.mass).sum(1)
    return np.asarray(np.maximum(second - 2 * attended + mean[:, None], 0.0))
