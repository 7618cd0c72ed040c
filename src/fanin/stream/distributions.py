"""Which value: random word → a number of the wanted law, by one integer map, one conversion and one product.

Inversion makes the laws comonotone: under one seed, a larger uniform comes with a larger normal, element by element.
"""

from __future__ import annotations

import math
from decimal import Decimal
from functools import lru_cache

import numpy as np

from fanin.errors import BadInput, UnknownName
from fanin.stream import reference
from fanin.stream.draw import draw
from fanin.stream.elements import Elements
from fanin.stream.gaussian import exact_digits, normal_cdf
from fanin.stream.keys import Key
from fanin.stream.laws import FORMATS, NORMAL, TRUNCATED, UNIFORM, Distribution, Values
from fanin.stream.philox import Words

_LARGEST_SIGMA = 6.3  # |q32| stays below 6.24 σ, the quantile of 2^-32
_UINT32 = np.dtype(np.uint32)


def words(key: Key, elements: Elements, *, out: Words | None = None) -> Words:
    """The random words of the given elements, as uint32 in the shape of `elements`.

    `word(e) = Philox4x32-10(counter = (lo32 b, hi32 b, c2, c3), key = (k0, k1))[e & 3]`, b = e >> 2

    Args:
        key: the stream.
        elements: element indices in [0, 2^64): a range (fastest with step 1), `Runs`, or an array of integers of any
            shape.
        out: a contiguous uint32 array of that shape to write into and return, rather than a new one.

    Raises:
        BadInput: an index is negative, above 2^64 - 1 or not an integer, or a range runs backwards; `out` does
            not fit.

    Example:
        >>> from fanin.stream import key
        >>> [f"{word:08x}" for word in words(key(0, "weight"), range(2, 4))]
        ['07d1ac7a', '89e3b541']

    Reference: Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
    """
    return draw(key, elements, "words", _UINT32, (), _same, out)


def uniform(
    key: Key,
    elements: Elements,
    bound: float,
    *,
    dtype: str = "float32",
    center: float = 0.0,
    out: Values | None = None,
) -> Values:
    """Uniform on (center − bound, center + bound), symmetric about the center.

    `center + n · RN(bound · 2^-24)`, n odd from the top 25 bits of the word, |n| < 2^24: neither 0 nor an end point,
    unless the rounding to 16 bits or the addition of the center makes one.

    Args:
        key: the stream.
        elements: the element indices: a range, `Runs` or an array; the result has their shape.
        bound: half the width of the interval, ≥ 0.
        dtype: "float32", "float64", "float16", or "bfloat16" (returned as the uint16 patterns of its bits).
        center: the mean, added with a rounding of its own.
        out: a contiguous array of the result's shape and type to write into and return, rather than a new one.

    Raises:
        BadInput: bound or center is not finite, bound is negative, the values do not fit in dtype, or `out` does not
            fit them.
        UnknownName: there is no such dtype.

    Example:
        >>> from fanin.stream import key
        >>> print(uniform(key(0, "weight"), range(3), 0.05))
        [-0.0159363  -0.03221079 -0.04694569]

    Reference: inversion, Devroye 1986, "Non-Uniform Random Variate Generation", II.2.
    """
    return sample(key, elements, uniform_law(bound, center=center), dtype=dtype, out=out)


def normal(
    key: Key,
    elements: Elements,
    std: float,
    *,
    mean: float = 0.0,
    dtype: str = "float32",
    out: Values | None = None,
) -> Values:
    """Normal with the given mean and standard deviation.

    `mean + q32(word) · RN(std · 2^-27)`; |value − mean| < 6.3 std, as no word stands for a tail below 2^-32.

    Args:
        key: the stream.
        elements: the element indices: a range, `Runs` or an array; the result has their shape.
        std: the standard deviation, ≥ 0.
        mean: added with a rounding of its own.
        dtype: "float32", "float64", "float16", or "bfloat16" (returned as the uint16 patterns of its bits).
        out: a contiguous array of the result's shape and type to write into and return, rather than a new one.

    Raises:
        BadInput: std or mean is not finite, std is negative, the values do not fit in dtype, or `out` does not fit
            them.
        UnknownName: there is no such dtype.

    Example:
        >>> from fanin.stream import key
        >>> print(normal(key(0, "weight"), range(3), 0.02))
        [-0.0082145 -0.01846856 -0.03745741]

    Reference: inversion, Devroye 1986, "Non-Uniform Random Variate Generation", II.2.
    """
    return sample(key, elements, normal_law(std, mean=mean), dtype=dtype, out=out)


def truncated_normal(
    key: Key,
    elements: Elements,
    std: float,
    low: float,
    high: float,
    *,
    mean: float = 0.0,
    dtype: str = "float32",
    out: Values | None = None,
) -> Values:
    """A normal of standard deviation `std` conditioned on low ≤ (value − mean)/std ≤ high.

    `mean + clamp(q32(A + (word · (B − A) >> 32))) · RN(std · 2^-27)`, A = round(2^32 Φ(low)), B = round(2^32 Φ(high))

    One pass, nothing is rejected. The clamp makes the cuts exact in units of 2^-27 std, before the product rounds.

    Args:
        key: the stream.
        elements: the element indices: a range, `Runs` or an array; the result has their shape.
        std: the standard deviation of the parent normal, ≥ 0; that of the result is smaller.
        low: the lower cut in sigmas of the parent normal; -inf for none.
        high: the upper cut in sigmas of the parent normal; inf for none.
        mean: the mean of the parent normal, added with a rounding of its own.
        dtype: "float32", "float64", "float16", or "bfloat16" (returned as the uint16 patterns of its bits).
        out: a contiguous array of the result's shape and type to write into and return, rather than a new one.

    Raises:
        BadInput: std or mean is not finite, std is negative, low < high does not hold, no random word falls between
            the cuts, the values do not fit in dtype, or `out` does not fit them.
        UnknownName: there is no such dtype.

    Example:
        >>> from fanin.stream import key
        >>> print(truncated_normal(key(0, "weight"), range(3), 0.02, -1.0, 1.0))
        [-0.00552362 -0.01165087 -0.01834493]

    Reference: inversion of a truncated law, Devroye 1986, "Non-Uniform Random Variate Generation", II.2.
    """
    return sample(key, elements, truncated_law(std, low, high, mean=mean), dtype=dtype, out=out)


def sample(
    key: Key, elements: Elements, distribution: Distribution, *, dtype: str = "float32", out: Values | None = None
) -> Values:
    """Values of a distribution made by `uniform_law`, `normal_law` or `truncated_law`.

    Args:
        key: the stream.
        elements: the element indices: a range, `Runs` or an array; the result has their shape.
        dtype: "float32", "float64", "float16", or "bfloat16" (returned as the uint16 patterns of its bits).
        out: a contiguous array of the result's shape and type to write into and return, rather than a new one.

    Raises:
        BadInput: an index is not in [0, 2^64), the values do not fit in dtype, or `out` does not fit them.
        UnknownName: there is no such dtype.

    Example:
        >>> from fanin.stream import Runs, key
        >>> print(sample(key(0, "weight"), Runs(start=1, step=4, count=2, length=2), normal_law(0.02)))
        [-0.01846856 -0.03745741  0.01141662 -0.01633611]
    """
    form = FORMATS.get(dtype)
    if form is None:
        raise UnknownName("dtype", dtype, FORMATS)
    law, reach = distribution
    if reach > form.largest:
        raise BadInput(
            f"Values of magnitude up to {reach:.4g} do not fit in {dtype}, whose largest number is "
            f"{form.largest:.4g}. Use a smaller scale or a wider dtype."
        )
    return draw(key, elements, dtype, form.stored, law, lambda words: reference.values(words, law, form), out)


def uniform_law(bound: float, *, center: float = 0.0) -> Distribution:
    """The law of `uniform`, decided once for many draws."""
    bound, center = _not_negative("bound", bound), _finite("center", center)
    return Distribution((UNIFORM, 0, 0, 0, 0, bound * 2.0**-24, center), abs(center) + bound)


def normal_law(std: float, *, mean: float = 0.0) -> Distribution:
    """The law of `normal`, decided once for many draws."""
    std, mean = _not_negative("std", std), _finite("mean", mean)
    return Distribution((NORMAL, 0, 0, 0, 0, std * 2.0**-27, mean), abs(mean) + _LARGEST_SIGMA * std)


def truncated_law(std: float, low: float, high: float, *, mean: float = 0.0) -> Distribution:
    """The law of `truncated_normal`, decided once for many draws."""
    std, mean = _not_negative("std", std), _finite("mean", mean)
    farthest = min(max(abs(low), abs(high)), _LARGEST_SIGMA)
    law = (TRUNCATED, *_window(float(low), float(high)), std * 2.0**-27, mean)
    return Distribution(law, abs(mean) + farthest * std)


def _same(words: Words) -> Words:
    return words


def _finite(label: str, value: float) -> float:
    if not math.isfinite(value):
        raise BadInput(f"{label}: expected a finite number, got {value}.")
    return float(value)  # a float32 scalar would round the products below too early


def _not_negative(label: str, value: float) -> float:
    if not 0 <= value < math.inf:
        raise BadInput(f"{label}: expected a finite number ≥ 0, got {value}.")
    return float(value)


@lru_cache(maxsize=1024)
def _window(low: float, high: float) -> tuple[int, int, int, int]:
    """The words between two cuts (the first, how many) and the quantiles that they may have (lowest, highest)."""
    if not low < high:
        raise BadInput(f"low, high: expected low < high, got {low} and {high}.")
    first, count = cut_word(low), cut_word(high) - cut_word(low)
    lowest, highest = math.ceil(max(low * 2.0**27, -(2.0**31))), math.floor(min(high * 2.0**27, 2.0**31 - 1))
    if count == 0 or lowest > highest:
        raise BadInput(
            f"low, high: no random word falls between {low} and {high} sigmas: the stream tells {2**32} words apart, "
            "none of them beyond 6.3 sigmas. Use wider cuts, nearer to the mean."
        )
    return first, count, lowest, highest


def cut_word(cut: float) -> int:
    """How many of the 2^32 words lie below a cut in sigmas: `round(2^32 Φ(cut))`, the same on every machine.

    Decimal arithmetic, since libm's erf differs between machines in its last bits.

    Example:
        >>> cut_word(0.0) == 2**31, cut_word(float("-inf")), cut_word(1.0)
        (True, 0, 3613548169)
    """
    if abs(cut) > 8:  # Φ(−8) · 2^32 < 10^-5
        return 0 if cut < 0 else 1 << 32
    with exact_digits():
        return round(normal_cdf(Decimal(cut)) * 2**32)
