"""How second moments move with the draw of the weights: log q = c + Σ a_l ξ_l, one ξ_l for each layer that was drawn.

A layer of n units makes q a mean over n squares, which is off by √(β/n). What follows inherits that: two branches of a
stream move together, and a gradient that comes back through an activation moves with the signal that went through it.

The sum is near Gaussian, as its terms are many, until a function bends it. From then on paths are followed.

Reference: Hanin & Nica 2020.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any, Final, NamedTuple

import numpy as np

from fanin.signals.frozen import replace
from fanin.signals.latent import Array
from fanin.signals.paths import Paths

_layers: ContextVar[Iterator[int]] = ContextVar("layers", default=count())  # noqa: B039  # only ever counted on


def begin() -> None:
    """Number layers from 0 again, so that a prediction repeats: what is known of an earlier one is no longer used."""
    _layers.set(count())


class Radial(NamedTuple):
    """Of a gradient δ, how far it points along the signal x.

    Attributes:
        root: the latent of x.
        times: along the paths, E (x · δ)² beside what it is if δ knows nothing of x.
    """

    root: Any
    times: Array


@dataclass(frozen=True, eq=False)
class Draws:
    """Amplitudes a_l of the layers from `start` on.

    Attributes:
        apart: variance of log q among the samples of one draw, which a batch averages over.
        paths: log q over its mean, of samples in draws; None where it is Gaussian.
        radial: of a gradient, where it is known how far it points along the signal.

    Example:
        >>> one, other = NOTHING.with_own(0.04), NOTHING.with_own(0.09)
        >>> [round(together([(0.5, one), (0.5, d)]).variance, 4) for d in (one, other)]
        [0.04, 0.0325]
    """

    start: int = 0
    amplitudes: Array = field(default_factory=lambda: np.zeros(0))
    apart: float = 0.0
    paths: Paths | None = None
    radial: Radial | None = None

    @cached_property
    def variance(self) -> float:
        """Var log q, q the mean over a batch."""
        return float(self.amplitudes @ self.amplitudes)

    @cached_property
    def pairs(self) -> float:
        """E √(q q') over two samples of a draw, beside E q."""
        return 1.0 if self.paths is None else self.paths.pairs

    def with_own(self, variance: float, apart: float = 0.0) -> Draws:
        """And what one more layer adds, whose draws are its own; `apart` more from sample to sample."""
        if not variance > 0:
            return self
        size, layer = math.sqrt(variance), next(_layers.get())
        wider = None if self.paths is None else self.paths.widened(layer, variance, apart)
        if not len(self.amplitudes):
            return Draws(layer, np.array([size]), apart, wider)
        end = len(self.amplitudes)
        longer = np.zeros(max(layer - self.start, end) + 1)
        longer[:end], longer[-1] = self.amplitudes, size
        return Draws(self.start, longer, self.apart + apart, wider)

    def times(self, by: float) -> Draws:
        """Of q to this power."""
        if not len(self.amplitudes):
            return self
        found = None if self.paths is None else Paths.of(by * self.paths.logs)[1]
        return Draws(self.start, by * self.amplitudes, by**2 * self.apart, found)

    def followed(self, samples: int) -> Draws:
        """With paths, those of a batch of so many samples."""
        if self.paths is not None:
            return self
        return replace(self, paths=Paths.born(self.amplitudes, self.start, self.apart, samples))

    def moved(self, to: Paths) -> Draws:
        """Of a function of q, which these are the paths of."""
        assert self.paths is not None
        before, after = self.paths.around, to.around
        size = math.sqrt(float(np.vdot(after, after)) / len(after) / (self.variance or 1.0))
        sign = math.copysign(1.0, float(np.vdot(before, after)))
        return Draws(self.start, sign * size * self.amplitudes, self.apart, to)

    def along(self, other: Draws) -> float:
        """Log E q q'/(E q E q'): the covariance of both logarithms, where they are Gaussian."""
        if not (len(self.amplitudes) and len(other.amplitudes)):
            return 0.0
        if self.paths is not None or other.paths is not None:
            one, two = _alike(self, other)
            return one.along(two)
        low = max(self.start, other.start)
        high = min(self.start + len(self.amplitudes), other.start + len(other.amplitudes))
        if high <= low:
            return 0.0
        own, others = (d.amplitudes[low - d.start : high - d.start] for d in (self, other))
        return float(own @ others)

    def along_pairs(self, other: Draws) -> float:
        """The same for two samples of a draw: log of the mean of √(q₁ q₂ q₁' q₂')."""
        if self.paths is None and other.paths is None:
            return self.along(other)
        if not (len(self.amplitudes) and len(other.amplitudes)):
            return math.log(self.pairs * other.pairs)  # one of them is 1
        one, two = _alike(self, other)
        return one.along_pairs(two)


NOTHING: Final = Draws()


def _alike(*draws: Draws) -> list[Paths]:
    """The paths of each, of as many samples as those have that have paths."""
    samples = max(d.paths.sizes.shape[1] for d in draws if d.paths is not None)
    found = [d.followed(samples).paths for d in draws]
    return [p.like(samples) for p in found if p is not None]


def together(parts: Sequence[tuple[float, Draws]]) -> Draws:
    """Σ w log q, as of a product of powers, or of a sum with these shares."""
    there = [(w, d) for w, d in parts if len(d.amplitudes) and w]
    if all(d.paths is None for _, d in there):
        return _gaussian(there)
    logs = [w * p.logs for (w, _), p in zip(there, _alike(*(d for _, d in there)), strict=True)]
    return _gaussian(there, Paths.of(sum(logs[1:], logs[0]))[1])


def _gaussian(parts: Sequence[tuple[float, Draws]], paths: Paths | None = None) -> Draws:
    """The amplitudes of the same; paths, if there are any, are known."""
    if not parts:
        return NOTHING
    start = min(d.start for _, d in parts)
    found = np.zeros(max(d.start + len(d.amplitudes) for _, d in parts) - start)
    for w, d in parts:
        found[d.start - start : d.start - start + len(d.amplitudes)] += w * d.amplitudes
    return Draws(start, found, sum(w**2 * d.apart for w, d in parts), paths)


def multiplied(one: Draws, other: Draws) -> tuple[float, Draws]:
    """Of the product of two: log E q q'/(E q E q'), as of `Draws.along`, and how it moves."""
    if one.paths is None or other.paths is None or not (len(one.amplitudes) and len(other.amplitudes)):
        return one.along(other), together([(1.0, one), (1.0, other)])
    first, second = _alike(one, other)
    along, paths = first.times(second.sizes)
    return along, _gaussian([(1.0, one), (1.0, other)], paths)
