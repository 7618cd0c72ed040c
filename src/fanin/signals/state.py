"""What the engine knows of one tensor: moments by feature segment, the marginal's shape, and how alike it is to itself.

A feature x_{c,s,t} has samples s and positions t. Beside E x and E x², two covariances decide what depth does: that of
two positions of one sample, and that of two samples. Mean and variance alone mispredict gradients of batch-normalised
nets many times over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fanin.signals import latent
from fanin.signals.axes import Axes, Kind, count
from fanin.signals.bins import Bins, over_pairs
from fanin.signals.draws import NOTHING, Draws
from fanin.signals.latent import Array
from fanin.signals.taps import Profile

Sizes = NDArray[np.int64]


class Terms(NamedTuple):
    """What each feature is a sum of.

    Attributes:
        number: of independent terms, each with a weight of its own.
        excess: kurtosis of one of them, less the 3 of a Gaussian.
        alone: of one feature, whose terms have nothing to do with those of another.
    """

    number: float
    excess: float
    alone: bool


class Root:
    """The identity of a latent: two states of one root are functions of the same z, feature by feature.

    Args:
        averages: that of the state over whose entries this one is averaged: what is made of it varies with those.
    """

    def __init__(self, averages: Root | None = None) -> None:
        self.averages = averages


@dataclass(frozen=True, eq=False)
class State:
    """One tensor. Each array has one entry for each segment of features that are alike.

    Attributes:
        axes: what its axes count.
        sizes: features in each segment, in the order of the flattened feature axes.
        mean: E x.
        second: E x².
        across_positions: E x_{c,s,t} x_{c,s,t'}, t ≠ t'; the average over all pairs.
        across_samples: E x_{c,s,t} x_{c,s',t'}, s ≠ s'; likewise, t and t' being any.
        marginal: x = F(z) at the nodes of `latent`, one row a segment; None where x is Gaussian.
        root: which z.
        latents: correlation of z across positions and across samples, where the marginal is not Gaussian.
        draws: how what q is on average over the features moves with the draw of the weights that made them.
        profile: how E x² is spread along each axis of positions; None where all are alike.
        fixed: a norm has made Σ x² over the features the same number whatever the draw.
        marks: assumptions that were made on the way.
        mean_of: the state of which this is the mean over some axes, as long as it is exactly that.
        scatter: variance of the latents' correlation over pairs of positions and samples: 1/n a layer of n units.
        squares: of z² − 1 at two positions, and in two samples, what their product is beside 2 ρ², halved: sums of few
            terms that read the same inputs are large together, whatever their sign.
        shared: E x_c x_c' of two features at one position, beside that of their means: what a layer norm takes away.
        terms: which few terms each feature is a sum of, as long as it is fresh.
        note: what else a rule knows of the whole tensor, as that it holds attention scores; `replace` drops it, so that
            it lives only through operations that know it.
    """

    axes: Axes
    sizes: Sizes
    mean: Array
    second: Array
    across_positions: Array
    across_samples: Array
    marginal: Array | None = None
    root: Root = field(default_factory=Root)
    latents: tuple[Array, Array] | None = None
    draws: Draws = NOTHING
    marks: frozenset[str] = frozenset()
    mean_of: State | None = None
    fixed: bool = False
    profile: Profile | None = None
    scatter: float = 0.0
    squares: tuple[float, float] = (0.0, 0.0)
    shared: float = 0.0
    terms: Terms | None = field(default=None, init=False)
    note: Any = field(default=None, init=False)
    bins: Bins | None = field(default=None, init=False)

    @cached_property
    def features(self) -> int:
        """C."""
        return int(self.sizes.sum())

    @cached_property
    def positions(self) -> int:
        """P."""
        return count(self.axes, Kind.POSITION)

    @cached_property
    def samples(self) -> int:
        """B."""
        return count(self.axes, Kind.SAMPLE)

    @cached_property
    def shares(self) -> Array:
        """Of all features, by segment."""
        return np.asarray(self.sizes / self.sizes.sum(), dtype=np.float64)

    @property
    def variance(self) -> Array:
        """E x² − (E x)²."""
        return np.maximum(self.second - self.mean**2, 0.0)

    @property
    def constant(self) -> bool:
        """The same number everywhere: zero, one, or what a norm's scale starts as."""
        return bool((self.variance <= 1e-13 * self.second).all()) and bool(np.ptp(self.mean) == 0)

    @cached_property
    def values(self) -> Array:
        """F(z) at the nodes, one row a segment."""
        if self.marginal is not None:
            return self.marginal
        return self.mean[:, None] + np.sqrt(self.variance)[:, None] * latent.NODES

    @cached_property
    def correlations(self) -> tuple[Array, Array]:
        """Of z: across positions and across samples."""
        if self.latents is not None:
            return self.latents
        both = (self.across_positions, self.across_samples)
        if self.marginal is None:
            variance = self.variance
            safe = np.where(variance > 0, variance, 1.0)
            return tuple(np.clip((k - self.mean**2) / safe, -1.0, 1.0) for k in both)  # type: ignore[return-value]
        return tuple(latent.correlation_of(self.marginal, k) for k in both)  # type: ignore[return-value]

    @property
    def own_scatter(self) -> float:
        """Of the correlations of x itself, where it is another function of the latent: as its kernel's slope."""
        if self.marginal is None or not self.scatter:
            return self.scatter
        a = latent.coefficients(self.marginal)[:, 1:-1] ** 2
        slope = (a * np.arange(1, a.shape[1] + 1) * latent.powers(self.correlations[1])[:, : a.shape[1]]).sum(-1)
        return self.scatter * self.average(slope / np.maximum(self.variance, 1e-300)) ** 2

    @property
    def channel_second(self) -> Array:
        """E m_c², m_c the mean of a feature over all samples and positions: what a batch norm takes away."""
        n, p = self.samples * self.positions, self.positions
        return (self.second + (p - 1) * self.across_positions + (n - p) * self.across_samples) / n

    @cached_property
    def own_spread(self) -> float:
        """Var log of the average of x² over C features: (E x⁴/(E x²)² − 1)/C, less where samples or positions differ.

        Reference: Hanin & Nica 2020 (β/n a layer).
        """
        return self._spread(np.zeros(len(self.sizes)))[0]

    def _at_norm(self) -> Array:
        """What φ² has in common with z², E φ²(z) (z² − 1): no chance, where Σ z² over the features is what it is."""
        along = self.values**2 @ (latent.WEIGHTS * (latent.NODES**2 - 1))
        return np.asarray(np.broadcast_to(along**2 / 2, len(self.sizes)))

    def _spread(self, left_out: Array) -> tuple[float, float]:
        """Var log of the average over a batch, and how far its samples lie apart; less a part of E x⁴.

        That goes with the square of the latents' correlation.
        """
        q = self.average(self.second)
        if self.fixed or q == 0:
            return 0.0, 0.0
        squares = self.values**2
        ones, alike = latent.expectation(squares**2), latent.covariances(squares, self.correlations)
        at_positions, at_samples = (a - left_out * rho**2 for a, rho in zip(alike, self.correlations, strict=True))
        n, p = self.samples * self.positions, self.positions
        of_one = (ones - left_out + (p - 1) * at_positions) / p
        fourth = (p * of_one + (n - p) * at_samples) / n
        scale = q * q * self.features
        of_batch, apart = (self.average(f) / scale for f in (fourth - self.second**2, of_one - at_samples))
        return max(of_batch, 0.0), max(apart, 0.0)

    @cached_property
    def drawn(self) -> Draws:
        """And what the mean over its own features adds, for all that is made of them."""
        return self.draws.with_own(*self._spread(np.zeros(len(self.sizes))))

    def typical(self) -> State:
        """As in a net of infinite width, where all draws are alike."""
        if not len(self.draws.amplitudes):
            return self
        return self._also(replace(self, draws=NOTHING), note=self.note, bins=self.bins, terms=self.terms)

    def drawn_through(self, norms_kept: bool) -> Draws:
        """The same of what weights make of it, whether they keep norms or not."""
        return self.draws.with_own(*self._spread(self._at_norm())) if norms_kept else self.drawn

    @property
    def band_variance(self) -> float:
        """Var log q of this tensor over draws of the weights."""
        return self.draws.variance + self.own_spread

    def moved_by(self, part: Array) -> State:
        """The same, where only a part of E x² moves with what it was made of, and a bias adds the rest.

        d log(p + b) = p/(p + b) · d log p: a deep net that its biases feed forgets how its first layers were drawn.
        """
        whole = self.average(self.second)
        share = min(self.average(part) / whole, 1.0) if whole > 0 else 1.0
        return replace(self, draws=self.draws.times(share))

    def of(self, values: Array) -> State:
        """Another function of the same latent, with the moments that follow."""
        positions, samples = self.correlations
        of_positions, of_samples = latent.covariances(values, self.correlations)
        if any(self.squares):
            bent = latent.coefficients(values)[:, 2] ** 2
            of_positions, of_samples = (
                k + s * bent for k, s in zip((of_positions, of_samples), self.squares, strict=True)
            )
        return replace(
            self,
            mean=latent.expectation(values),
            second=latent.expectation(values**2),
            across_positions=of_positions,
            across_samples=of_samples,
            marginal=values,
            latents=(positions, samples),
            mean_of=None,
            fixed=False,
            squares=(0.0, 0.0),
            shared=0.0,
        )

    def scaled(self, by: Array | float, shift: Array | float = 0.0) -> State:
        """By · x + shift: the same latent, and Gaussian if x is."""

        def moved(second: Array) -> Array:
            return np.asarray(by**2 * second + 2 * by * shift * self.mean + shift**2)

        marginal = None
        if self.marginal is not None or np.any(np.asarray(by) < 0):  # the latent keeps its sign
            marginal = np.asarray(by).reshape(-1, 1) * self.values + np.asarray(shift).reshape(-1, 1)
        return replace(
            self,
            mean=np.asarray(by * self.mean + shift),
            second=moved(self.second),
            across_positions=moved(self.across_positions),
            across_samples=moved(self.across_samples),
            marginal=marginal,
            latents=self.correlations if marginal is not None else self.latents,
            mean_of=None,
            shared=float(np.mean(by)) ** 2 * self.shared,
        )

    def split_at(self, ends: Sizes) -> State:
        """The same with segments that end there; every end of its own must be among them."""
        own = np.cumsum(self.sizes)
        if len(own) == len(ends):
            return self
        return self.rows(np.searchsorted(own, ends), np.diff(ends, prepend=0))

    def rows(self, chosen: NDArray[np.int64], sizes: Sizes, *, root: Root | None = None) -> State:
        """These segments, with new sizes."""
        out = replace(
            self,
            sizes=np.asarray(sizes, dtype=np.int64),
            mean=self.mean[chosen],
            second=self.second[chosen],
            across_positions=self.across_positions[chosen],
            across_samples=self.across_samples[chosen],
            marginal=None if self.marginal is None else self.marginal[chosen],
            root=root or self.root,
            latents=None if self.latents is None else (self.latents[0][chosen], self.latents[1][chosen]),
        )
        return out if self.bins is None else out.beside(self)

    def pooled(self, sizes: Sequence[int] | None = None) -> State:
        """One segment: the features are taken for one population. Of another number of features, if sizes are given."""
        new = np.asarray([self.features] if sizes is None else sizes, dtype=np.int64)
        if len(self.sizes) == 1:
            return replace(self, sizes=new).beside(self)
        w = self.shares
        out = gaussian(
            self.axes,
            new,
            *(np.asarray([w @ x]) for x in (self.mean, self.second, self.across_positions, self.across_samples)),
            draws=self.draws,
            marks=self.marks,
            profile=self.profile,
        )
        return out if self.bins is None else out.beside(self)

    def average(self, of: Array) -> float:
        """Over all features."""
        return float(of[0]) if len(of) == 1 else float(self.shares @ of)

    def of_terms(self, terms: Terms) -> State:
        """With features that are sums of few terms."""
        return self._also(replace(self), terms=terms, bins=self.bins)

    def noted(self, note: Any) -> State:
        """With a note."""
        return self._also(replace(self), note=note, bins=self.bins)

    def marked(self, *marks: str) -> State:
        """With further assumptions."""
        return self._also(replace(self, marks=self.marks | set(marks)), bins=self.bins)

    @staticmethod
    def _also(new: State, **fields: Any) -> State:
        for name, value in fields.items():
            object.__setattr__(new, name, value)
        return new

    def binned(self, bins: Bins | None) -> State:
        """With moments by bin, and those of all positions that follow."""
        if bins is None:
            return self
        mean, second, positions, samples = bins.averages()
        marginal, latents = self.marginal, None
        if len(self.sizes) == 1:
            moments = [np.array([m]) for m in (mean, second, positions, samples)]
            marginal = None if bins.values is None else (bins.shares @ bins.values)[None]
            if marginal is not None:
                known = over_pairs(bins.counts, bins.correlations)
                latents = (np.array([known[0]]), np.array([known[1]]))
        else:
            ratio = self.second / (self.average(self.second) or 1.0)
            before = (self.across_positions, self.across_samples)
            across = [k + ratio * (new - self.average(k)) for k, new in zip(before, (positions, samples), strict=True)]
            moments = [self.mean, ratio * second, *across]
        mean_, second_, positions_, samples_ = moments
        out = replace(
            self,
            mean=mean_,
            second=second_,
            across_positions=positions_,
            across_samples=samples_,
            marginal=marginal,
            latents=latents,
        )
        return self._also(out, bins=bins if len(bins.counts) > 1 else None)

    def beside(self, other: State) -> State:
        """With the bins of another state of as many positions, brought to the second moment of this one."""
        bins = other.bins
        if bins is None or self.positions != other.positions:
            return self
        known, own = other.average(other.second), self.average(self.second)
        if known > 0 and abs(own - known) > 1e-9 * known:
            bins = bins.scaled(math.sqrt(own / known))
        return self._also(replace(self), bins=bins)

    def in_bins(self, counts: Sizes) -> Bins:
        """Its moments in these bins, which are those of all positions if it has none of its own."""
        if self.bins is not None:
            return self.bins.repeated(counts)
        mean, second, positions, samples = (
            self.average(m) for m in (self.mean, self.second, self.across_positions, self.across_samples)
        )
        values = None if self.marginal is None else np.asarray(self.shares @ self.marginal)
        found = Bins.alike(counts, mean, second, (positions, samples), values)
        if values is None:
            return found
        latents = np.array([self.average(k) for k in self.correlations])
        return replace(found, latents=np.broadcast_to(latents[:, None, None], found.across.shape))


def gaussian(
    axes: Axes,
    sizes: Sequence[int] | Sizes,
    mean: Array | float,
    second: Array | float,
    across_positions: Array | float,
    across_samples: Array | float,
    *,
    draws: Draws = NOTHING,
    marks: frozenset[str] = frozenset(),
    profile: Profile | None = None,
) -> State:
    """A state with a latent of its own; scalars count for all segments.

    What rounding or an approximation makes impossible is cut off: E x² ≥ (E x)², and no covariance beyond the variance.
    """
    n = np.asarray(sizes, dtype=np.int64)

    def rows(x: Array | float) -> Array:
        return np.broadcast_to(np.asarray(x, dtype=np.float64), n.shape).copy()

    m, q = rows(mean), rows(second)
    q = np.maximum(q, m**2)
    v = q - m**2
    k, s = (m**2 + np.clip(rows(x) - m**2, -v, v) for x in (across_positions, across_samples))
    return State(axes, n, m, q, k, s, draws=draws, marks=marks, profile=profile)


def aligned(*states: State) -> tuple[State, ...]:
    """The same states with segments that end at the same features; those of one feature are spread over all.

    Raises:
        ValueError: numbers of features that do not go together.
    """
    features = max(s.features for s in states)
    spread = [s.rows(np.zeros(1, dtype=np.int64), np.array([features])) if s.features == 1 else s for s in states]
    if any(s.features != features for s in spread):
        raise ValueError(f"features {[s.features for s in states]}")
    if all(len(s.sizes) == 1 for s in spread):
        return tuple(spread)
    ends = np.unique(np.concatenate([np.cumsum(s.sizes) for s in spread]))
    return tuple(s.split_at(ends) for s in spread)
