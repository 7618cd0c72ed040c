"""How far a sample may be from its law: from the number of draws, never by trial."""

from __future__ import annotations

import math
from typing import Final

# Unit roundoff 2^-p of a format with p significant bits, and its smallest positive number.
_PRECISION: Final[dict[str, tuple[float, float]]] = {
    "float64": (2.0**-53, 2.0**-1074),
    "float32": (2.0**-24, 2.0**-149),
    "float16": (2.0**-11, 2.0**-24),
    "bfloat16": (2.0**-8, 2.0**-133),
    "float8_e4m3fn": (2.0**-4, 2.0**-9),
    "float8_e5m2": (2.0**-3, 2.0**-16),
    "complex64": (2.0**-24, 2.0**-149),
    "complex128": (2.0**-53, 2.0**-1074),
}


def mean_tolerance(n: int, std: float, sigmas: float = 6.0) -> float:
    """`sigmas · std/√n`: how far the mean of n uncorrelated draws may be from the law's (6 σ: 2e-9 false alarms).

    Example:
        >>> mean_tolerance(10_000, std=0.5)
        0.03
    """
    return sigmas * std / math.sqrt(n)


def std_tolerance(n: int, kurtosis: float = 3.0, sigmas: float = 6.0) -> float:
    """`sigmas · √((kurtosis − 1)/(4 n))`: relative, for √(Σ (x − mean)²/n) of n independent draws.

    (x − mean)² has variance (kurtosis − 1) std⁴, and the square root halves a small relative error.

    Args:
        kurtosis: E[(x − mean)⁴]/std⁴: 3 for a normal law, 1.8 for a uniform one.

    Example:
        >>> round(std_tolerance(10_000), 4), round(std_tolerance(10_000, kurtosis=1.8), 4)
        (0.0424, 0.0268)

    Not for: heavy tails with few draws, where the sample's variance is far from normal.
    """
    return sigmas * math.sqrt((kurtosis - 1) / (4 * n))


def kurtosis_tolerance(n: int, kurtosis: float = 3.0, sigmas: float = 6.0) -> float:
    """`sigmas · √((105 (k/3)³ − k²)/n)`: absolute, for Σ (x − mean)⁴/(n std⁴) of n independent draws.

    E[(x − mean)⁸]/std⁸ is 105 for a normal law, 105 (k/3)³ for one that is normal with some probability and else 0, and
    less for uniform and truncated laws.

    Example:
        >>> round(kurtosis_tolerance(9600), 3)  # √(96/n) for a normal law
        0.6
    """
    return sigmas * math.sqrt((105 * (kurtosis / 3) ** 3 - kurtosis**2) / max(n, 1))


def ks_tolerance(n: int, chance: float = 2e-9) -> float:
    """`√(log(2/chance)/(2 n))`: how far an empirical distribution is from its law, but for that chance.

    Example:
        >>> round(ks_tolerance(10_000), 4)
        0.0322

    Reference: Dvoretzky, Kiefer & Wolfowitz 1956, with the constant of Massart 1990.
    """
    return math.sqrt(math.log(2 / chance) / (2 * max(n, 1)))


def distinct_tolerance(variance: float, sigmas: float = 6.0) -> float:
    """`sigmas · √variance + 1` of a number of distinct values."""
    return sigmas * math.sqrt(variance) + 1


def rounding_tolerance(dtype: str, magnitude: float) -> float:
    """`5 u · magnitude + s`: u the unit roundoff of the dtype, s its smallest number.

    Five numbers are rounded: the standard value, its scale, their product, the mean, the sum. For 16 and 8 bits that is
    done in float32, and one more rounding outweighs them all.

    Example:
        >>> rounding_tolerance("float16", 1.0) < 0.0025
        True
    """
    unit, smallest = _PRECISION[dtype]
    return 5 * unit * magnitude + smallest
