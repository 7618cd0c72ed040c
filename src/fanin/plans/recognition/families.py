"""Of which family independent values are: normal, uniform, or normal and cut. The simplest that chance allows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.initializers import TruncatedNormal
from fanin.plans.measured import SIGMAS, Measured
from fanin.stream.gaussian import truncated_std

CHANCE: Final = 1e-9  # of a law that is refused although the values are its own, for each test
TELLS_APART: Final = math.log(1e6)  # a family in which the values are so much less likely, in nats, is refused
MOST: Final = 1 << 16  # values whose distribution is compared
FEWEST: Final = 200  # below, uniform values may pass for normal ones with a chance above 1/1000
USUAL_CUTS: Final = (2.0, 3.0, 1.0)  # of the parent's sigmas
ENOUGH_FOR_KURTOSIS: Final = 1000  # values; of fewer, the sample's kurtosis is far from normal
GRID: Final = np.linspace(-9.0, 9.0, 18 * 64 + 1)
PHI: Final = np.array([0.5 * math.erfc(-z / math.sqrt(2)) for z in GRID])  # linear between: off by 8e-6
NORMAL, UNIFORM, TRUNCATED = "normal", "uniform", "truncated_normal"


@dataclass(frozen=True)
class Family:
    """A standardised law: mean 0, std 1.

    Attributes:
        reach: no value lies beyond ±reach.
        kurtosis: E z⁴.
        cut: of a truncated law, in sigmas of its parent.
    """

    name: str
    reach: float
    kurtosis: float
    cut: float = math.inf

    def cdf(self, z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """P(Z ≤ z)."""
        if self.name == UNIFORM:
            return np.asarray(np.clip(0.5 + z / (2 * self.reach), 0.0, 1.0))
        if self.name == NORMAL:
            return _phi(z)
        low = _phi(np.array([-self.cut]))[0]
        return np.asarray(np.clip((_phi(z * self.cut / self.reach) - low) / (1 - 2 * low), 0.0, 1.0))

    def log_likelihood(self, seen: Measured) -> float:
        """Of values of that standard deviation, at the scale that suits them best."""
        if self.name == UNIFORM:
            return -seen.count * math.log((seen.high - seen.low) / seen.std)
        if self.name == NORMAL:
            return -seen.count * 0.5 * math.log(2 * math.pi * math.e)
        largest = max(seen.high - seen.mean, seen.mean - seen.low) / seen.std
        parent = max(self.reach, largest) / self.cut
        inside = math.erf(self.cut / math.sqrt(2))
        return -seen.count * (0.5 * math.log(2 * math.pi) + math.log(parent * inside) + 0.5 / parent**2)

    def beyond(self, z: float) -> float:
        """P(|Z| > z)."""
        if z >= self.reach:
            return 0.0
        if self.name == UNIFORM:
            return 1 - z / self.reach
        outside = math.erfc(z * (self.cut / self.reach if self.name == TRUNCATED else 1) / math.sqrt(2))
        if self.name == NORMAL:
            return outside
        cut = math.erfc(self.cut / math.sqrt(2))
        return (outside - cut) / (1 - cut)


def truncated(cut: float) -> Family:
    """A normal law cut at ±`cut` of its sigmas."""
    law = TruncatedNormal(1.0, 0.0, cut)
    density = math.exp(-(cut**2) / 2) / math.sqrt(2 * math.pi)
    inside = math.erf(cut / math.sqrt(2))
    fourth = 3 - 2 * (cut**3 + 3 * cut) * density / inside  # E z⁴ of the parent's z within the cut
    return Family(TRUNCATED, cut / truncated_std(cut), fourth / truncated_std(cut) ** 4, law.cuts[1])


PLAIN: Final = (Family(NORMAL, math.inf, 3.0), Family(UNIFORM, math.sqrt(3), 1.8))


def families(values: npt.NDArray[Any], seen: Measured) -> list[Family]:
    """Those from which the values may come, the simplest first: normal, uniform, cut where others cut, or elsewhere.

    A family stays if the largest value, the fourth moment and the whole distribution are what so many values of it have
    (extreme value; `6 √(Var z⁴/n)`; Kolmogorov and Smirnov, `√(log(2/10⁻⁹)/(2 n))`), and if the values are not a
    million times as likely in another.
    """
    z = np.sort((_some(values).astype(np.float64) - seen.mean) / seen.std)
    usual = (*PLAIN, *map(truncated, USUAL_CUTS))
    possible = [family for family in usual if _fits(family, z, seen)]
    if not possible:
        return [family for family in _cut_elsewhere(seen) if _fits(family, z, seen)]
    best = max(family.log_likelihood(seen) for family in possible)
    return [family for family in possible if family.log_likelihood(seen) >= best - TELLS_APART]


def _cut_elsewhere(seen: Measured) -> Iterator[Family]:
    reach = max(seen.high - seen.mean, seen.mean - seen.low) * (1 + 1 / seen.count)
    try:
        yield truncated(float(f"{TruncatedNormal.within(-reach, reach, seen.std).cuts[1]:.3g}"))
    except BadInput:
        return


def _fits(family: Family, z: npt.NDArray[np.float64], seen: Measured) -> bool:
    n, rounding = seen.count, seen.rounding / seen.std
    room = SIGMAS * seen.std_error(family.kurtosis) + SIGMAS / math.sqrt(n) + rounding  # of the scale of z
    largest = max(seen.high - seen.mean, seen.mean - seen.low) / seen.std
    if largest * (1 - room) - rounding > family.reach:
        return False
    if n * math.log1p(-min(family.beyond(largest * (1 + room)), 1 - 1e-16)) < math.log(CHANCE):
        return False  # so many values would reach farther
    if n * family.beyond(largest * (1 - room)) < CHANCE:
        return False  # or not so far
    if n >= ENOUGH_FOR_KURTOSIS:
        wanted = SIGMAS * math.sqrt(105 * (family.kurtosis / 3) ** 3 / n) + 8 * rounding
        if abs(seen.kurtosis - family.kurtosis) > wanted:
            return False
    steps = np.arange(len(z) + 1) / len(z)
    cdf = family.cdf(z)
    distance = max(float((steps[1:] - cdf).max()), float((cdf - steps[:-1]).max()))
    return distance <= math.sqrt(math.log(2 / CHANCE) / (2 * len(z))) + 0.4 * rounding


def _some(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """All values or, of many, one from each of `MOST` stretches, at a place that follows no rule."""
    flat = values.reshape(-1)
    if flat.size <= MOST:
        return flat
    within = np.random.default_rng(0).random(MOST)
    return flat[((np.arange(MOST) + within) * (flat.size / MOST)).astype(np.int64)]


def _phi(z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.interp(z, GRID, PHI))
