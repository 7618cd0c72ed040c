"""What attention does to moments, and to gradients on their way back: out = softmax(c Q Kᵀ + mask) V.

What all keys have in common shifts every logit of a row alike and cancels; what all values have in common goes through.
Only their differences are averaged, by a matrix whose rows `softmax_rows` knows.

Keys and values are linear in one tensor x of C features, so that two keys that are alike have values that are alike. It
concerns one of the C directions of x: along the query in what is attended, Σ_j A_ij l_ij in place of chance; and along
the gradient in what comes back to the query, Var_A ≈ 1 in place of Σ A². With T keys that is a share T/C, which is not
small.

References: Noci et al. 2022 (gradients of queries and keys die as tokens become alike); Kedia et al. 2024, app. A.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fanin.signals.axes import Kind, count, kinds_of, size_of
from fanin.signals.gradient import GradientMoments
from fanin.signals.latent import Array
from fanin.signals.softmax import Rows
from fanin.signals.state import State
from fanin.signals.values import NoRule


@dataclass(frozen=True, eq=False)
class Along:
    """A tensor as attention sees it: entries along one axis, which may count positions or, sequence first, samples.

    Attributes:
        state: the tensor.
        kind: what the axis counts.
        size: entries along it; of all entries of that kind, attention mixes only those.
    """

    state: State
    kind: Kind
    size: int

    @classmethod
    def axis(cls, state: State, at: int) -> Along:
        """Along this axis.

        Raises:
            NoRule: it counts features, or several things at once.
        """
        kinds = kinds_of(state.axes[at]) or {Kind.POSITION}
        if len(kinds) > 1 or Kind.FEATURE in kinds:
            raise NoRule("what attention mixes are neither positions nor samples")
        return cls(state, next(iter(kinds)), size_of(state.axes[at]))

    @property
    def entries(self) -> int:
        """All of that kind: windows, say, have positions that do not meet."""
        return count(self.state.axes, self.kind)

    @property
    def second(self) -> Array:
        """E x²."""
        return self.state.second

    @property
    def along(self) -> Array:
        """E x_j x_j', j ≠ j'."""
        return self.state.across_positions if self.kind is Kind.POSITION else self.state.across_samples

    @property
    def beside(self) -> Array:
        """The other covariance."""
        return self.state.across_samples if self.kind is Kind.POSITION else self.state.across_positions

    def of(self, seen: GradientMoments) -> GradientMoments:
        """Moments of a gradient with the covariance along the axis in the place of that across positions."""
        if self.kind is Kind.POSITION:
            return seen
        return GradientMoments(seen.second, seen.across_samples, seen.across_positions)

    def back(self, second: Array, along: Array, beside: Array, far: Array | float = 0.0) -> GradientMoments:
        """Of what attention made, in the engine's order; `far` is the covariance of two entries apart in both ways.

        Of a sample, the covariance with another one is over all positions, and attention mixes those of one position.
        """
        if self.kind is Kind.POSITION:
            return GradientMoments(second, along, beside)
        mixed = (beside + (self.size - 1) * far) / self.size
        p = self.state.positions
        return GradientMoments(second, mixed, (along + (p - 1) * mixed) / p)

    def spread(self, within: Array, elsewhere: Array) -> Array:
        """The average over all pairs: those along the axis, and those that attention keeps apart."""
        if self.entries < 2:
            return within
        return ((self.size - 1) * within + (self.entries - self.size) * elsewhere) / (self.entries - 1)


@dataclass(frozen=True, eq=False)
class Received:
    """What came back to the attention weights A from one product A·V.

    Attributes:
        own: variance over keys j of ∂loss/∂A_ij, that of a mask of dropout included.
        shared: its covariance between two queries.
        plain: E (∂loss/∂A_ij)², before the dropout.
    """

    own: float
    shared: float
    plain: float


@dataclass(frozen=True, eq=False)
class Attended:
    """One product A·V.

    Attributes:
        rows: of A.
        value: along the keys.
        queries: how many.
        width: features of one head's value.
        correlation: of two queries.
        features: C.
        keep: share of the weights that dropout lets through.
        repeats: heads that share one head of V.
    """

    rows: Rows
    value: Along
    queries: int
    width: int
    correlation: float
    features: int
    keep: float = 1.0
    repeats: int = 1

    def moments(self) -> GradientMoments:
        """Of the result: q' = k + (q/keep − k) E Σ A_ij², and k' = k + (q − k) E Σ A_ij A_i'j."""
        v = self.value
        q, k = v.second, v.along
        rows, c = self.rows, self.features
        overlap = rows.overlap + (rows.drift - rows.overlap) / c
        within = k + (q - k) * (rows.shared + (max(self.correlation, 0.0) * rows.drift - rows.shared) / c)
        entries = self.queries * v.entries // v.size
        pairs = max(entries - 1, 1)
        along = ((self.queries - 1) * within + (entries - self.queries) * k) / pairs
        return v.back(k + (q / self.keep - k) * overlap, along, v.beside, k)

    def to_value(self, seen: GradientMoments) -> GradientMoments:
        """∂loss/∂V_j = Σ_i A_ij δ_i, with Σ_j A_ij = 1."""
        v, rows, n = self.value, self.rows, self.queries
        delta = v.of(seen)
        g, h = delta.second, delta.across_positions
        ratio = n / v.size
        second = ratio * (rows.overlap / self.keep * g + (n - 1) * rows.shared * h)
        pairs = v.size * max(v.size - 1, 1)
        within = n * ((1 - rows.overlap) * g + (n - 1) * (1 - rows.shared) * h) / pairs
        along = v.spread(within, ratio**2 * h)
        return v.back(second, along, ratio**2 * delta.across_samples, ratio**2 * h).times(self.repeats)

    def to_weights(self, seen: GradientMoments, out: State) -> Received:
        """∂loss/∂A_ij = δ_i·V_j, of which the softmax lets through what differs from key to key."""
        v = self.value
        delta = v.of(seen)
        q, k = (m if len(m) == len(out.sizes) else np.array([v.state.average(m)]) for m in (v.second, v.along))
        return Received(
            self.width * out.average(delta.second * (q / self.keep - k)),
            self.width * out.average(delta.across_positions * (q - k)),
            self.width * out.average(delta.second * q) / self.keep,
        )


@dataclass(frozen=True, eq=False)
class Logits:
    """C Q Kᵀ, before the softmax.

    Attributes:
        query, key: along the queries and along the keys.
        scale: c.
        width: features of one head.
        features: C.
    """

    query: Along
    key: Along
    scale: float
    width: int
    features: int

    @property
    def variance(self) -> float:
        """s² = D q_Q (q_K − k_K) c², over keys."""
        return self.width * self._query(self.query.second) * self._differences * self.scale**2

    @property
    def correlation(self) -> float:
        """Of two queries."""
        q = self._query(self.query.second)
        return self._query(self.query.along) / q if q > 0 else 0.0

    @property
    def _differences(self) -> float:
        return max(self.key.state.average(self.key.second - self.key.along), 0.0)

    def _query(self, of: Array) -> float:
        return self.query.state.average(of)

    def to_query(self, received: Received, rows: Rows) -> GradientMoments:
        """∂loss/∂Q_i = c Σ_j ∂loss/∂L_ij K_j."""
        q, n = self.query, self.query.size
        by = self.scale**2 * self._differences
        aligned = ((1 - rows.overlap) ** 2 + rows.slope) / self.features
        within = by * received.shared * (rows.slope_shared + aligned)
        one = np.ones(len(q.state.sizes))
        along = q.spread(within * one, 0 * one) if n > 1 else 0 * one
        return q.back(by * received.own * (rows.to_query + aligned) * one, along, 0 * one)

    def to_key(self, received: Received, rows: Rows, repeats: int = 1) -> GradientMoments:
        """∂loss/∂K_j = c Σ_i ∂loss/∂L_ij Q_i; since Σ_j ∂loss/∂L_ij = 0, those of all keys add up to 0."""
        n, key = self.query.size, self.key
        own = self._query(self.query.second) * received.own * rows.to_key
        shared = self._query(self.query.along) * received.shared * rows.slope_shared
        second = repeats * self.scale**2 * n / key.size * max(own + (n - 1) * shared, 0.0)
        one = np.ones(len(key.state.sizes))
        return key.back(second * one, -second / max(key.entries - 1, 1) * one, 0 * one)
