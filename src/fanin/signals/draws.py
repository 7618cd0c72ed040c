"""How second moments move with the draw of the weights: log q = c + Σ a_l ξ_l, one ξ_l for each layer that was drawn.

A layer of n units makes q a mean over n squares, which is off by √(β/n). What follows inherits that: two branches of a
stream move together, and a gradient that comes back through an activation moves with the signal that went through it.

The sum is near Gaussian, as its terms are many, until a function bends it: GELU keeps a large q and halves a small one,
so that after some layers q is where it was in some draws, and gone in others. Its quantiles follow that.

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
AT, LIKELY = np.polynomial.hermite_e.hermegauss(15)  # quantiles of a standard normal, for means over draws
LIKELY = LIKELY / LIKELY.sum()
_BELOW: Final[Array] = np.asarray(np.cumsum(LIKELY) - LIKELY / 2)
_BOTH: Final[Array] = np.outer(LIKELY, LIKELY).ravel()


@dataclass(frozen=True, eq=False)
class Draws:
    """Amplitudes a_l of the layers from `start` on.

    Attributes:
        bent: log q at the quantiles `AT`, less its mean; None where it is Gaussian.

    Example:
        >>> one, other = NOTHING.with_own(0.04), NOTHING.with_own(0.09)
        >>> [round(together([(0.5, one), (0.5, d)]).variance, 4) for d in (one, other)]
        [0.04, 0.0325]
    """

    start: int = 0
    amplitudes: Array = field(default_factory=lambda: np.zeros(0))
    bent: Array | None = None

    @cached_property
    def variance(self) -> float:
        """Var log q."""
        return float(self.amplitudes @ self.amplitudes)

    @cached_property
    def quantiles(self) -> Array:
        """Log q over its mean E q, at `AT`."""
        logs = math.sqrt(self.variance) * AT if self.bent is None else self.bent
        return np.asarray(logs - math.log(LIKELY @ np.exp(logs)))

    def with_own(self, variance: float) -> Draws:
        """And what one more layer adds, whose draws are its own."""
        if not variance > 0:
            return self
        size = math.sqrt(variance)
        if not len(self.amplitudes):
            return Draws(next(_layers), np.array([size]))
        end = len(self.amplitudes)
        longer = np.zeros(max(next(_layers) - self.start, end) + 1)
        longer[:end], longer[-1] = self.amplitudes, size
        return Draws(self.start, longer, None if self.bent is None else _widened(self.bent, size))

    def times(self, by: float) -> Draws:
        """Of q to this power."""
        bent = None if self.bent is None or by < 0 else by * self.bent
        return Draws(self.start, by * self.amplitudes, bent) if len(self.amplitudes) else self

    def along(self, other: Draws) -> float:
        """The covariance of both logarithms."""
        low = max(self.start, other.start)
        high = min(self.start + len(self.amplitudes), other.start + len(other.amplitudes))
        if high <= low:
            return 0.0
        own, others = (d.amplitudes[low - d.start : high - d.start] for d in (self, other))
        return float(own @ others)


NOTHING: Final = Draws()


def _widened(logs: Array, own: float) -> Array:
    """The quantiles of a sum with an independent Gaussian."""
    found = np.add.outer(logs, own * AT).ravel()
    order = np.argsort(found)
    likely = _BOTH[order]
    wider = np.interp(_BELOW, np.cumsum(likely) - likely / 2, found[order])
    size = math.sqrt((LIKELY @ (logs - LIKELY @ logs) ** 2 + own**2) / (LIKELY @ (wider - LIKELY @ wider) ** 2))
    return np.asarray(size * (wider - LIKELY @ wider))


def together(parts: Sequence[tuple[float, Draws]]) -> Draws:
    """Σ w log q, as of a product of powers, or of a sum with these shares; bent as the largest of them is."""
    there = [(w, d) for w, d in parts if len(d.amplitudes) and w]
    if not there:
        return NOTHING
    start = min(d.start for _, d in there)
    found = np.zeros(max(d.start + len(d.amplitudes) for _, d in there) - start)
    for w, d in there:
        found[d.start - start : d.start - start + len(d.amplitudes)] += w * d.amplitudes
    whole = Draws(start, found)
    largest = max(there, key=lambda part: part[0] ** 2 * part[1].variance)[1]
    if largest.bent is None or not largest.variance:
        return whole
    return Draws(start, found, largest.bent * math.sqrt(whole.variance / largest.variance))


def response(values: Array, draws: Draws) -> tuple[float, Draws]:
    """Of a function of q at its quantiles: its mean, and how its logarithm moves.

    Example:
        >>> draws = NOTHING.with_own(0.25)
        >>> mean, moves = response(np.exp(draws.quantiles) ** 2, draws)
        >>> round(mean, 3), round(math.exp(0.25), 3), round(moves.variance, 6)  # q² has four times the variance
        (1.284, 1.284, 1.0)
    """
    mean = float(LIKELY @ values)
    if not (values > 0).all() or not draws.variance:
        return mean, NOTHING
    logs = np.log(values)
    logs = logs - LIKELY @ logs
    size = math.sqrt(float(LIKELY @ logs**2))
    sign = math.copysign(1.0, float(LIKELY @ (logs * AT)))
    moved = draws.times(sign * size / math.sqrt(draws.variance))
    return mean, Draws(moved.start, moved.amplitudes, logs if sign > 0 else None)
