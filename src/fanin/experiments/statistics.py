"""What a few seeds can say: differences seed by seed, how sure they are, and no more than that."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

RESAMPLES: Final = 10_000  # ends of a 95 % interval then move by about 2 % of its width from seed to seed
ENOUGH: Final = 5  # values whose resamples reach about as far as an interval of 95 % has to
SEED: Final = 0  # of the resamples: the same numbers always give the same interval
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean, and where it may lie; infinite ends where the numbers do not say."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether its sign is known."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Paired:
    """Of two recipes, first − second over the seeds that both have.

    Attributes:
        difference: mean over seeds, with its interval.
        p: of Wilcoxon's signed-rank test, two-sided, exact.
        seeds: how many; with n of them p is never below 2/2ⁿ.
    """

    difference: Interval
    p: float
    seeds: int


class Spread(NamedTuple):
    """Mean and sample standard deviation over seeds; std is 0 for one seed, NaN where the mean is infinite."""

    mean: float
    std: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.std:.3f}" if math.isfinite(self.mean) else "diverged"


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation.

    Example:
        >>> str(spread([1.0, 3.0])), str(spread([1.0, math.inf]))
        ('2.000 ± 1.414', 'diverged')
    """
    mean = statistics.fmean(values)
    if not math.isfinite(mean):
        return Spread(mean, math.nan)
    return Spread(mean, statistics.stdev(values) if len(values) > 1 else 0.0)


def paired(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> Paired:
    """Compare seed by seed: what a seed does to both, its batches and its luck, drops out of the difference.

    Example:
        >>> found = paired([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.5, 2.4, 3.6, 4.5, 5.4, 6.6])
        >>> round(found.difference.mean, 3), found.difference.high < 0, found.p
        (-0.5, True, 0.03125)
    """
    differences = [_minus(a, b) for a, b in zip(first, second, strict=True)]
    return Paired(bootstrap(differences, level), signed_rank(differences), len(differences))


def bootstrap(values: Sequence[float], level: float = 0.95) -> Interval:
    """The mean with its expanded percentile interval: of few values, plain percentiles are too narrow.

    The percentiles are those that make the interval as wide as Student's t would for normal values: with n values
    Φ(−√(n/(n−1)) t), t the quantile of n − 1 degrees of freedom (Hesterberg 2015, §5.3). Means of resamples lie between
    the least and the largest value, which of five are on one side of 0 once in 16 times, and of two every other time:
    of fewer than five it is Student's interval itself. One value says nothing. Where some are infinite, so is the end
    of the interval on their side.

    Example:
        >>> bootstrap([1.0]).high, bootstrap([2.0, 2.0, 2.0]) == Interval(2.0, 2.0, 2.0)
        (inf, True)
    """
    x = np.asarray(values, np.float64)
    n = len(x)
    mean = _mean(x)
    if n < 2 or (np.isposinf(x).any() and np.isneginf(x).any()):
        return Interval(mean, -math.inf, math.inf)
    drawn = np.random.default_rng(SEED).integers(n, size=(RESAMPLES, n))
    means = x[drawn].mean(1)
    t = student_quantile((1 + level) / 2, n - 1)
    tail = NormalDist().cdf(-math.sqrt(n / (n - 1)) * t)
    if n < ENOUGH and np.isfinite(x).all():
        half = t * float(x.std(ddof=1)) / math.sqrt(n)
        return Interval(mean, mean - half, mean + half)
    # A value that occurs, not one between two: between 1 and ∞ there is none.
    low, high = np.quantile(means, (tail, 1 - tail), method="inverted_cdf")
    return Interval(mean, float(low), float(high))


def signed_rank(differences: Sequence[float]) -> float:
    """Wilcoxon's signed-rank test that differences lie about 0: the two-sided p, exact for any n, ties included.

    Zeros are left out, equal sizes share the mean of their ranks. Under the hypothesis every sign is a fair coin: the
    distribution of the positive ranks' sum is counted over all 2ⁿ signs, by adding one rank after the other.

    Example:
        >>> signed_rank([1.0, 2.0, 3.0, 4.0, 5.0]), signed_rank([1.0, -1.0]), signed_rank([0.0])
        (0.0625, 1.0, 1.0)

    Reference: Wilcoxon 1945.
    """
    sizes = np.asarray([d for d in differences if d != 0], np.float64)
    n = len(sizes)
    if n == 0:
        return 1.0
    doubled = _doubled_ranks(np.abs(sizes))
    chances = np.zeros(n * (n + 1) + 1)  # of each doubled sum of positive ranks
    chances[0] = 1.0
    for rank in doubled:
        shifted = np.zeros_like(chances)
        shifted[rank:] = chances[: len(chances) - rank]
        chances = (chances + shifted) / 2
    seen = int(doubled[sizes > 0].sum())
    tails = chances[: seen + 1].sum(), chances[seen:].sum()
    return float(min(1.0, 2 * min(tails)))


def student_quantile(share: float, degrees: int) -> float:
    """Of Student's t, by bisection on its distribution function in closed form (Abramowitz & Stegun 26.7.3–4).

    Example:
        >>> [round(student_quantile(0.975, n), 3) for n in (1, 2, 4, 30)]
        [12.706, 4.303, 2.776, 2.042]
    """
    low, high = 0.0, 1e9
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_cdf(middle, degrees) < share else (low, middle)
    return low


def _student_cdf(t: float, degrees: int) -> float:
    angle = math.atan(t / math.sqrt(degrees))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    term = total = 1.0 if degrees % 2 == 0 else math.cos(angle)
    first = 2 if degrees % 2 == 0 else 3
    for k in range(first, degrees, 2):
        term *= square * (k - 1) / k
        total += term
    if degrees % 2 == 0:
        return 0.5 + sine * total / 2
    return 0.5 + (angle + (sine * total if degrees > 1 else 0.0)) / math.pi


def _doubled_ranks(sizes: Numbers) -> npt.NDArray[np.int64]:
    """Twice the rank of each, 2, 4, …; whole numbers even where ranks are shared."""
    below = (sizes[:, None] > sizes).sum(1)
    equal = (sizes[:, None] == sizes).sum(1)
    return np.asarray(2 * below + equal + 1, np.int64)


def _mean(x: Numbers) -> float:
    """NaN, without a warning, where +∞ and −∞ meet."""
    return math.nan if np.isposinf(x).any() and np.isneginf(x).any() else float(x.mean())


def _minus(a: float, b: float) -> float:
    """Two runs that both diverged are level."""
    return 0.0 if a == b else a - b
