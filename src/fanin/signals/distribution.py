"""What the engine knows of one tensor: moments by feature segment, the marginal's shape, and how alike it is to itself.

A feature x_{c,s,t} has samples s and positions t. Beside E x and E x², two covariances decide what depth does: that of
two positions of one sample, and that of two samples. Mean and variance alone mispredict gradients of batch-normalised
nets many times over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fanin.signals import latent
from fanin.signals.axes import Axes, Kind, count
from fanin.signals.bins import Bins
from fanin.signals.draws import NOTHING, Draws
from fanin.signals.latent import Array
from fanin.signals.places import Places
from fanin.signals.taps import Profile

if TYPE_CHECKING:
    from fanin.signals.state import State

Sizes = NDArray[np.int64]
WHOLE: Final[Array] = np.ones(1)  # the share of all features in a single segment


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
        mean: that average itself, a function of the same latent.
    """

    def __init__(self, averages: Root | None = None, mean: State | None = None) -> None:
        self.averages, self.mean = averages, mean


@dataclass(frozen=True, eq=False)
class Distribution:
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
        reach: how E x m, m the mean of a feature, is spread along each axis of positions, as long as x is fresh: a
            border takes taps from both. Otherwise it goes with the size of x.
        places: what samples have in common at one position, as long as it is known to be more than at any two.
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
    reach: Profile | None = field(default=None, init=False)
    places: Places | None = field(default=None, init=False)
    note: Any = field(default=None, init=False)
    bins: Bins | None = field(default=None, init=False)

    @cached_property
    def features(self) -> int:
        """C."""
        return int(self.sizes[0]) if len(self.sizes) == 1 else int(self.sizes.sum())

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
        if len(self.sizes) == 1:
            return WHOLE
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
            square = self.mean**2
            return tuple(np.minimum(np.maximum((k - square) / safe, -1.0), 1.0) for k in both)  # type: ignore[return-value]
        return tuple(latent.correlation_of(self.marginal, k) for k in both)  # type: ignore[return-value]

    @cached_property
    def series(self) -> Array:
        """Of F, `latent.series`."""
        return latent.series(self.values)

    @property
    def own_scatter(self) -> float:
        """Of the correlations of x itself, where it is another function of the latent: as its kernel's slope."""
        if self.marginal is None or not self.scatter:
            return self.scatter
        slope = latent.summed_slope(self.series, self.correlations[1])
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
        return self._spread()[0]

    def _at_norm(self) -> Array:
        """What φ² has in common with z², E φ²(z) (z² − 1): no chance, where Σ z² over the features is what it is."""
        along = self.values**2 @ (latent.WEIGHTS * (latent.NODES**2 - 1))
        return np.asarray(np.broadcast_to(along**2 / 2, len(self.sizes)))

    def _spread(self, left_out: Array | None = None) -> tuple[float, float]:
        """Var log of the average over a batch, and how far its samples lie apart; less a part of E x⁴.

        That goes with the square of the latents' correlation.
        """
        q = self.average(self.second)
        if self.fixed or q * q < np.finfo(np.float64).tiny:  # no fourth moment can be said of what is that small
            return 0.0, 0.0
        own, at_positions, at_samples = self._of_squares
        if left_out is not None:
            positions, samples = self.correlations
            own, at_positions = own - left_out, at_positions - left_out * positions**2
            at_samples = at_samples - left_out * samples**2
        n, p = self.samples * self.positions, self.positions
        of_one = (own + (p - 1) * at_positions) / p
        alike, apart = (p * of_one + (n - p) * at_samples) / n, of_one - at_samples
        scale = q * q * self.features
        return max(self.average(alike) / scale, 0.0), max(self.average(apart) / scale, 0.0)

    @property
    def _of_squares(self) -> tuple[Array, Array, Array]:
        """Cov(x², x'²) of one entry, of two positions and of two samples."""
        if self.marginal is None:
            v, m = self.variance, self.mean**2
            one, two, other = (4 * m * v * rho + 2 * v * v * rho * rho for rho in (1.0, *self.correlations))
            return one, two, other
        squares, of_second = self.values**2, self.second**2
        two, other = latent.covariances(squares, self.correlations)
        return latent.expectation(squares**2) - of_second, two - of_second, other - of_second

    @cached_property
    def drawn(self) -> Draws:
        """And what the mean over its own features adds, for all that is made of them."""
        return self.draws.with_own(*self._spread())

    def drawn_through(self, norms_kept: bool) -> Draws:
        """The same of what weights make of it, whether they keep norms or not."""
        return self.draws.with_own(*self._spread(self._at_norm())) if norms_kept else self.drawn

    @property
    def band_variance(self) -> float:
        """Var log q of this tensor over draws of the weights."""
        return self.draws.variance + self.own_spread

    def average(self, of: Array) -> float:
        """Over all features."""
        return float(of[0]) if len(of) == 1 else float(self.shares @ of)
