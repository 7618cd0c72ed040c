"""How the gradient of what is in bins is spread over these: relative to its mean over all positions, as a profile is.

Relative, since what maps all positions alike, as a linear layer does, leaves it as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fanin.signals import latent
from fanin.signals.bins import Bins, Counts, over_pairs, pairs
from fanin.signals.frozen import replace
from fanin.signals.latent import Array


@dataclass(frozen=True, eq=False)
class Spread:
    """Of a carrier δ with its factor A(z), or of both together, A being 1.

    Attributes:
        counts: positions in each bin.
        second: E δ_b² over E δ².
        across: E δ_t δ_t' over E δ², of two positions of one sample and of two samples; (2, bins, bins).
        factor: A_b at the nodes, shape (bins, nodes), or one number a bin, (bins, 1).
    """

    counts: Counts
    second: Array
    across: Array
    factor: Array

    @classmethod
    def of(cls, counts: Counts, second: Array, across: Array) -> tuple[Spread, float]:
        """From moments that are not relative; with E δ² over all positions."""
        size = float(counts @ second) / float(counts.sum())
        by = 1 / size if size > 0 else 0.0
        return cls(counts, second * by, across * by, np.ones((len(counts), 1))), size

    @classmethod
    def alike(cls, counts: Counts, positions: float, samples: float) -> Spread:
        """Of a gradient that is the same in all bins, with its covariances over E δ²."""
        n = len(counts)
        apart = np.broadcast_to(np.reshape([positions, samples], (2, 1, 1)), (2, n, n))
        return cls(counts, np.ones(n), apart, np.ones((n, 1)))

    def times(self, factor: Array | float) -> Spread:
        """δ·A·B."""
        return replace(self, factor=self.factor * factor)

    def at(self, bins: Bins | None) -> tuple[Array, Array]:
        """E (δA)² by bin and the covariances of δA, where the value is in these bins."""
        a = self.factor
        squares = latent.expectation(a * a) if a.shape[1] > 1 else a[:, 0] ** 2
        if a.shape[1] == 1:
            return self.second * squares, self.across * np.outer(a, a)
        if bins is None or not np.array_equal(bins.counts, self.counts):
            return self.second * squares, self.across * np.sqrt(np.outer(squares, squares))
        return self.second * squares, self.across * latent.between(a, bins.correlations)

    def scaled(self, second: Array | float, across: Array | float) -> Spread:
        """Moments multiplied, each by its own; relative to the new mean."""
        q, k = self.at(None)
        return Spread.of(self.counts, q * second, k * across)[0]

    def averages(self) -> tuple[float, float]:
        """Of the covariances over all pairs."""
        return over_pairs(self.counts, self.across)


def met(x: Bins, second: Array, across: Array, samples: int) -> float:
    """E (Σ x δ)² over all positions and samples, of a gradient with these moments by bin."""
    own = float(x.counts @ (x.second * second))
    within = float((pairs(x.counts) * x.across[0] * across[0]).sum())
    apart = float(x.counts @ (x.across[1] * across[1]) @ x.counts)
    return samples * (own + within + (samples - 1) * apart)


def coarser(fine: Counts, coarse: Counts, second: Array, across: Array) -> tuple[Array, Array]:
    """Moments by bin in bins of which each is several."""
    at = np.searchsorted(np.cumsum(coarse), np.cumsum(fine))
    into = np.eye(len(coarse))[at]
    own = (fine * second) @ into / coarse
    within, many = into.T @ (pairs(fine) * across[0]) @ into, pairs(coarse)
    positions = np.where(many > 0, within / np.where(many > 0, many, 1), np.diag(own))
    samples = into.T @ (np.outer(fine, fine) * across[1]) @ into / np.outer(coarse, coarse)
    return own, np.stack([positions, samples])
