"""How second moments move with the draw of the weights: log q = c + Σ a_l ξ_l, with ξ_l ~ N(0, 1) for each layer drawn.

A layer of n units makes q a mean over n squares, which is off by √(β/n). What follows inherits that: two branches of one
stream move together, and a gradient that comes back through an activation moves with the signal that went through it.

Reference: Hanin & Nica 2020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Final

import numpy as np

from fanin.signals.latent import Array

_layers = count()
# Quantiles of one standard normal, for means over draws.
AT, LIKELY = np.polynomial.hermite_e.hermegauss(7)
LIKELY = LIKELY / LIKELY.sum()


@dataclass(frozen=True, eq=False)
class Draws:
    """Amplitudes a_l of the layers from `start` on.

    Example:
        >>> one, other = NOTHING.with_own(0.04), NOTHING.with_own(0.09)
        >>> together([(0.5, one), (0.5, one)]).variance, round(together([(0.5, one), (0.5, other)]).variance, 4)
        (0.04, 0.0325)
    """

    start: int = 0
    amplitudes: Array = field(default_factory=lambda: np.zeros(0))

    @cached_property
    def variance(self) -> float:
        """Var log q."""
        return float(self.amplitudes @ self.amplitudes)

    def with_own(self, variance: float) -> Draws:
        """And what one more layer adds, whose draws are its own."""
        if not variance > 0:
            return self
        own = Draws(next(_layers), np.array([math.sqrt(variance)]))
        return together([(1.0, self), (1.0, own)])

    def times(self, by: float) -> Draws:
        """Of q to this power."""
        return Draws(self.start, by * self.amplitudes) if len(self.amplitudes) else self

    def along(self, other: Draws) -> float:
        """The covariance of both logarithms."""
        low = max(self.start, other.start)
        high = min(self.start + len(self.amplitudes), other.start + len(other.amplitudes))
        if high <= low:
            return 0.0
        own, others = (d.amplitudes[low - d.start : high - d.start] for d in (self, other))
        return float(own @ others)

    def scales(self, tilt: float = 0.0) -> Array:
        """Q over its mean, at the quantiles `AT`; where what moves with it counts more, by a covariance of `tilt`."""
        return np.asarray(np.exp(math.sqrt(self.variance) * AT - self.variance / 2 + tilt))


NOTHING: Final = Draws()


def together(parts: Sequence[tuple[float, Draws]]) -> Draws:
    """Σ w log q, as of a product of powers, or of a sum with these shares."""
    there = [(w, d) for w, d in parts if len(d.amplitudes) and w]
    if not there:
        return NOTHING
    start = min(d.start for _, d in there)
    found = np.zeros(max(d.start + len(d.amplitudes) for _, d in there) - start)
    for w, d in there:
        found[d.start - start : d.start - start + len(d.amplitudes)] += w * d.amplitudes
    return Draws(start, found)


def response(values: Array, draws: Draws) -> tuple[float, Draws]:
    """Of a function of q at the quantiles `AT`: its mean, and how its logarithm moves.

    Example:
        >>> draws = NOTHING.with_own(0.25)
        >>> mean, moves = response(draws.scales() ** 2, draws)
        >>> round(mean, 3), round(math.exp(0.25), 3), round(moves.variance, 6)  # q² has four times the variance
        (1.284, 1.284, 1.0)
    """
    mean = float(LIKELY @ values)
    if not (values > 0).all():
        return mean, NOTHING
    logs = np.log(values)
    slope = float(LIKELY @ (logs * AT))
    variance = float(LIKELY @ (logs - LIKELY @ logs) ** 2)
    width = math.sqrt(draws.variance)
    return mean, draws.times(math.copysign(math.sqrt(variance), slope) / width if width else 0.0)
