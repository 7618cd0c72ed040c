"""How the variances that batch norms divide by differ from feature to feature, and what E 1/v is then.

A feature's variance is vᵀ S v of its weights and of the covariance S of what these meet, over a batch. It varies as χ²
with ν degrees of freedom, 1/ν = Σ λ²/(Σ λ)²: of a batch of few samples, of few weights, and of inputs that are made of
few themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from fanin.signals import latent
from fanin.signals.distribution import Terms
from fanin.signals.latent import Array
from fanin.signals.state import State

SEEN: Final = 0.1  # of an excess kurtosis: below, a sum is as good as Gaussian
_STEP: Final = 0.05
_S: Final[Array] = np.exp(np.arange(-12.0, 12.0, _STEP))
MOST_BENT: Final = 4.0  # beyond, the quantiles do not rise throughout


def freedom(*spectrum: tuple[float, Array]) -> Array:
    """ν = (Σ λ)²/Σ λ² of a variance over a population, λ the eigenvalues of its covariance.

    Args:
        spectrum: how often an eigenvalue occurs, and the eigenvalue.

    Example:
        >>> freedom((9, np.array([2.0])))
        array([9.])
    """
    whole = sum(times * value for times, value in spectrum)
    squares = sum(times * value**2 for times, value in spectrum)
    with np.errstate(all="ignore"):
        return np.asarray(np.maximum(np.nan_to_num(np.asarray(whole**2 / squares), nan=4.0), 1.0))


def freedom_of_inverse(*spectrum: tuple[float, Array]) -> Array:
    """The ν at which E v E 1/v is that of this spectrum: beside a few large eigenvalues the others keep v from being 0.

    E 1/v = ∫ E e^{−s v} ds = ∫ Π (1 + 2 s λ/Σ λ)^{−1/2} ds, in units of E v.

    Example:
        >>> freedom_of_inverse((9, np.array([2.0]))).round(2)
        array([9.])
    """
    whole = sum(times * value for times, value in spectrum)
    shares = [(times, np.asarray(value / np.maximum(whole, 1e-300))) for times, value in spectrum]
    logs = -0.5 * sum(times * np.log1p(2 * np.multiply.outer(_S, share)) for times, share in shares)
    inverse = (np.exp(logs) * _S[:, None]).sum(0) * _STEP
    return np.asarray(np.where(inverse > 1, 2 * inverse / np.maximum(inverse - 1, 1e-12), np.inf))


def inverse_moment(of: Array) -> Array:
    """E v E 1/v = ν/(ν − 2).

    Not for: ν below 4, where 1/v has no variance; the factor stays at 2.
    """
    bounded = np.maximum(of, 4.0)
    return np.asarray(bounded / (bounded - 2))


@dataclass(frozen=True, eq=False)
class Sizes:
    """Of the features of a state that a norm over samples and positions divides.

    Attributes:
        x: the state.
        of_batch: ν of each variance as one over a batch.
    """

    x: State
    of_batch: Array

    @property
    def _own(self) -> float:
        """1/ν of the weights in front."""
        return 0.0 if self.x.terms is None else 1 / self.x.terms.number

    @cached_property
    def _parts(self) -> Array:
        """1/ν of all together."""
        alone = self.x.terms is not None and self.x.terms.alone
        return np.asarray(1 / self.of_batch + self.x.scatter + (self._own if alone else 0.0))

    @cached_property
    def inverse(self) -> Array:
        """E v E 1/v."""
        return inverse_moment(1 / self._parts)

    @property
    def inverse_square(self) -> Array:
        """(E v)² E 1/v² = ν²/((ν − 2)(ν − 4)); bounded, as below ν = 4 few features carry all of it."""
        bounded = np.maximum(1 / self._parts, 6.0)
        return np.asarray(bounded**2 / ((bounded - 2) * (bounded - 4)))

    @cached_property
    def _without_own(self) -> Array:
        return inverse_moment(1 / np.maximum(self._parts - self._own, 1e-300))

    @property
    def by_weights(self) -> float:
        """The part of E v E 1/v that is due to the weights in front."""
        return self.x.average(self.inverse / self._without_own)

    @property
    def by_features(self) -> float:
        """The part that is due to inputs that are made of few."""
        return self.x.average(self._without_own / inverse_moment(self.of_batch))


def tails(terms: Terms | None) -> Array | None:
    """The shape of a sum of few terms, at the nodes; None where it is as good as Gaussian.

    Its kurtosis − 3 is that of each term times E Σ w⁴/(Σ w²)² = 3/(n + 2).

    Reference: Cornish & Fisher 1938 (the quantiles).
    """
    excess = 0.0 if terms is None else terms.excess * 3 / (terms.number + 2)
    if abs(excess) < SEEN:
        return None
    z = latent.NODES
    return np.asarray(z + min(max(excess, -MOST_BENT), MOST_BENT) / 24 * (z**3 - 3 * z))
