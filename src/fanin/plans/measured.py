"""What was seen of a parameter's values, and how much chance there is in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

SIGMAS: Final = 6.0  # standard errors; chance goes beyond in two of 10⁹ values
CHUNK: Final = 1 << 16  # values looked at at a time: in float64 they stay in a cache


@dataclass(frozen=True)
class Measured:
    """Moments of the values of one tensor.

    Attributes:
        count: how many values.
        std: √(Σ (x − mean)²/count).
        kurtosis: Σ (x − mean)⁴/(count · std⁴); 3 where all values are alike.
        low, high: the smallest and the largest.
        rounding: how far the dtype may have moved a value from what was drawn.
    """

    count: int
    mean: float
    std: float
    kurtosis: float
    low: float
    high: float
    rounding: float = 0.0

    def has_std(self, std: float, kurtosis: float = 3.0, sigmas: float = SIGMAS) -> bool:
        """Whether so many independent draws of that standard deviation may have the one that is seen.

        |s/σ − 1| ≤ `sigmas` · √((κ − 1)/(4 n)).

        Example:
            >>> seen = Measured(10_000, 0.0, 0.0201, 3.0, -0.08, 0.08)
            >>> seen.has_std(0.02), seen.has_std(0.022)
            (True, False)
        """
        room = self.std_error(kurtosis) * sigmas
        added = self.rounding * min(1.0, self.rounding / std if std else 1.0)  # to the std; noise adds in squares
        return abs(self.std - std) <= room * std + added

    def std_error(self, kurtosis: float = 3.0) -> float:
        """The standard error of the std, relative to it."""
        return math.sqrt(max(kurtosis - 1, 0.0) / (4 * max(self.count, 1)))

    def has_mean(self, mean: float, std: float, sigmas: float = SIGMAS) -> bool:
        """Whether so many independent draws of that mean and standard deviation may have the mean that is seen."""
        chance = sigmas * std / math.sqrt(max(self.count, 1))
        return abs(self.mean - mean) <= chance + self.rounding  # some generators round all values down


def measured(values: npt.NDArray[Any], unit: float = 0.0) -> Measured:
    """The moments of all values, in float64.

    Args:
        values: finite real numbers, at least one.
        unit: unit roundoff of the dtype in which they were stored.

    Example:
        >>> seen = measured(np.array([-1.0, 1.0, -1.0, 1.0]))
        >>> seen.mean, seen.std, seen.kurtosis
        (0.0, 1.0, 1.0)
    """
    flat = values.reshape(-1)
    chunks = [flat[i : i + CHUNK] for i in range(0, flat.size, CHUNK)]
    low, high = float(flat.min()), float(flat.max())
    reach = max(-low, high)
    mean = math.fsum(float(chunk.sum(dtype=np.float64)) for chunk in chunks) / flat.size
    if low == high:
        return Measured(flat.size, low, 0.0, 3.0, low, high, unit * reach)
    second = fourth = 0.0
    for chunk in chunks:
        power = chunk.astype(np.float64)  # a copy, which is changed in place
        power -= mean
        second += float(np.square(power, out=power).sum())
        fourth += float(np.square(power, out=power).sum())  # not a dot product: BLAS would share it among threads
    variance = second / flat.size
    kurtosis = fourth / flat.size / variance**2 if variance**2 > 0 else 3.0
    return Measured(flat.size, mean, math.sqrt(variance), kurtosis, low, high, unit * reach)
