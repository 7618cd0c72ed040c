"""Positions that are not alike, in bins that are: the second moment of each, and the covariance of each with each.

A causal mask lets position t see t + 1 keys, and a class token is no patch: means over all positions do not tell what
a norm divides each by, or what an early query finds. Bins of neighbouring positions do: x_t = F_b(z_t) for t in bin b,
and the latents of two positions have a correlation that depends on their bins.

As a `Profile` it is a law of positions, with what that leaves out: a profile is a product over axes, for maps whose
positions meet by distance; bins are of one axis, whose positions meet by rank, and know covariances too.

References: the kernel of positions of Noci et al. 2022; Cowsik et al. 2024.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fanin.signals import latent
from fanin.signals.frozen import replace
from fanin.signals.latent import Array

Counts = NDArray[np.int64]  # positions in each bin, in the order of the positions
MOST: Final = 32  # bins
SAME: Final = 1e-6  # values that differ by so much less than the largest are the same


def octaves(positions: int) -> Counts:
    """Bins of 0, 1, 2, 3, then two an octave: what a causal mask makes different changes with log t.

    Example:
        >>> octaves(64).tolist()
        [1, 1, 1, 1, 2, 2, 4, 4, 8, 8, 16, 16]
    """
    ends = {size for k in range(positions.bit_length()) for size in (2**k, 3 * 2**k // 2)} - {0}
    ordered = np.array([0, *sorted(end for end in ends if end < positions), positions], dtype=np.int64)
    return ordered[1:] - ordered[:-1]


def refined(a: Counts, b: Counts) -> Counts:
    """The bins that end wherever one of two divisions of the same positions has an end."""
    ends = np.union1d(np.cumsum(a), np.cumsum(b))
    return np.asarray(ends - np.concatenate([[0], ends[:-1]]), dtype=np.int64)


def pairs(counts: Counts) -> Array:
    """How many pairs of two different positions there are in each pair of bins."""
    return _pairs(tuple(counts.tolist()))


@lru_cache(maxsize=256)
def _pairs(counts: tuple[int, ...]) -> Array:
    return np.asarray(np.outer(counts, counts) - np.diag(counts), dtype=np.float64)


def over_pairs(counts: Counts, across: Array) -> tuple[float, float]:
    """The averages over all pairs of different positions of one sample, and over all pairs in two samples."""
    n, p = pairs(counts), int(counts.sum())
    within = float(np.vdot(n, across[0])) / (p * (p - 1)) if p > 1 else float(across[0][0, 0])
    return within, float(counts @ across[1] @ counts) / p**2


@dataclass(frozen=True, eq=False)
class Bins:
    """Moments by bin, averaged over features.

    Attributes:
        counts: positions in each.
        mean, second: E x and E x².
        across: E x_t x_t' of two different positions with bins b and b', and of any two in two samples;
            shape (2, bins, bins).
        values: F_b at the nodes of `latent`, one row a bin; None where x is Gaussian.
        latents: the correlations of z, shaped as `across`, where x is not Gaussian.
    """

    counts: Counts
    mean: Array
    second: Array
    across: Array
    values: Array | None = None
    latents: Array | None = None

    @classmethod
    def alike(
        cls, counts: Counts, mean: float, second: float, across: Sequence[float], values: Array | None = None
    ) -> Bins:
        """The same in each: one population, seen in bins."""
        n = len(counts)
        rows = None if values is None else np.repeat(values[None], n, 0)
        apart = np.broadcast_to(np.reshape(across, (2, 1, 1)), (2, n, n))
        return cls(counts, np.full(n, mean), np.full(n, second), apart, rows)

    @property
    def shares(self) -> Array:
        """Of all positions."""
        return np.asarray(self.counts / self.counts.sum(), dtype=np.float64)

    @property
    def variance(self) -> Array:
        """E x² − (E x)²."""
        return np.maximum(self.second - self.mean**2, 0.0)

    @cached_property
    def at_nodes(self) -> Array:
        """F_b(z) at the nodes, one row a bin."""
        if self.values is not None:
            return self.values
        return np.asarray(self.mean[:, None] + np.sqrt(self.variance)[:, None] * latent.NODES)

    @cached_property
    def correlations(self) -> Array:
        """Of z; where only those of x are known, as of Gaussians."""
        if self.latents is not None:
            return self.latents
        size = np.sqrt(np.where(self.variance > 0, self.variance, np.inf))
        rho = (self.across - np.outer(self.mean, self.mean)) / np.outer(size, size)
        return np.asarray(np.clip(rho, -1.0, 1.0))

    def averages(self) -> tuple[float, float, float, float]:
        """E x, E x² and both covariances over all positions."""
        share = self.shares
        return (float(share @ self.mean), float(share @ self.second), *over_pairs(self.counts, self.across))

    def of(self, values: Array) -> Bins:
        """Another function of the same latents: E φ(z) φ(z') = Σ_k a_k a'_k ρ^k, of two bins."""
        across = latent.between(values, self.correlations)
        return Bins(
            self.counts, latent.expectation(values), latent.expectation(values**2), across, values, self.correlations
        )

    def each(self, function: Callable[[Array], Array]) -> Array:
        """φ(F_b(z)) at the nodes, found once where all bins have the same values, as behind a norm."""
        x = self.at_nodes
        if np.abs(x - x[:1]).max() <= SAME * np.abs(x).max():
            return np.repeat(np.asarray(function(x[:1]), dtype=np.float64), len(x), 0)
        return np.asarray(function(x), dtype=np.float64)

    def scaled(self, by: Array | float, shift: Array | float = 0.0) -> Bins:
        """By · x + shift, the same for all positions or one a bin."""
        by, shift = (np.broadcast_to(np.asarray(a, dtype=np.float64), self.mean.shape) for a in (by, shift))
        gaussian = self.values is None and bool((by >= 0).all())  # the latent keeps its sign
        cross = np.outer(by, shift) * self.mean[:, None]  # E b_t x_t s_t'
        return replace(
            self,
            mean=by * self.mean + shift,
            second=by**2 * self.second + 2 * by * shift * self.mean + shift**2,
            across=np.outer(by, by) * self.across + cross + cross.T + np.outer(shift, shift),
            values=None if gaussian else by[:, None] * self.at_nodes + shift[:, None],
            latents=None if gaussian else self.correlations,
        )

    def mapped(self, gain: float, mean: float, added: float) -> Bins:
        """Of a fresh sum over features, which is Gaussian: second moments times `gain`, and what a bias adds."""
        return Bins(
            self.counts, np.full(len(self.counts), mean), gain * self.second + added, gain * self.across + added
        )

    def plus(self, other: Bins, a: float, b: float) -> Bins:
        """A·x + b·y of independent x and y."""
        cross = np.outer(self.mean, other.mean)
        found = Bins(
            self.counts,
            a * self.mean + b * other.mean,
            a * a * self.second + b * b * other.second + 2 * a * b * self.mean * other.mean,
            a * a * self.across + b * b * other.across + a * b * (cross + cross.T),
        )
        if self.values is None and other.values is None:
            return found
        larger = a * a * self.second.sum() >= b * b * other.second.sum()
        return found.shaped(a * self.at_nodes if larger else b * other.at_nodes)

    def times(self, other: Bins) -> Bins:
        """X · y of independent x and y."""
        found = Bins(
            self.counts, self.mean * other.mean, self.second * other.second, np.asarray(self.across * other.across)
        )
        return found.shaped(self.at_nodes * np.sqrt(other.second)[:, None])

    def with_second(self, second: Array) -> Bins:
        """With other second moments and the same covariances."""
        found = Bins(self.counts, self.mean, second, self.across)
        return found if self.values is None else found.shaped(self.values)

    def shaped(self, values: Array) -> Bins:
        """With marginals of this shape, brought to the moments of each bin."""
        return replace(self, values=latent.moved(values, self.mean, self.variance))

    def repeated(self, counts: Counts) -> Bins:
        """In finer bins."""
        if len(counts) == len(self.counts):
            return self
        at = np.searchsorted(np.cumsum(self.counts), np.cumsum(counts))
        return self.picked(at, counts)

    def picked(self, at: Counts, counts: Counts) -> Bins:
        """These bins, with so many positions."""
        return Bins(
            counts,
            self.mean[at],
            self.second[at],
            self.across[:, at[:, None], at],
            None if self.values is None else self.values[at],
            None if self.latents is None else self.latents[:, at[:, None], at],
        )
