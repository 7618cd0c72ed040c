"""Which value: random word → a number of the wanted law, by one integer map, one conversion and one product.

Inversion makes the laws comonotone: under one seed, a larger uniform comes with a larger normal, element by element.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput, UnknownName
from fanin.stream.gaussian import exact_digits, normal_cdf
from fanin.stream.keys import Key
from fanin.stream.philox import Elements, Words, map_words
from fanin.stream.quantile import q32
from fanin.stream.rounding import to_bfloat16_bits, to_float16

Values: TypeAlias = npt.NDArray[Any]
_Integers: TypeAlias = npt.NDArray[np.int32]

_LARGEST_SIGMA = 6.3  # |q32| stays below 6.24 σ, the quantile of 2^-32


@dataclass(frozen=True)
class _Format:
    """A floating-point format: where values are computed, how they are stored, and the largest one."""

    computed: type[np.float32 | np.float64]
    stored: type[np.floating[Any] | np.unsignedinteger[Any]]
    largest: float
    rounded: Callable[[Values], Values] = lambda values: values


_FORMATS = {
    "float64": _Format(np.float64, np.float64, float(np.finfo(np.float64).max)),
    "float32": _Format(np.float32, np.float32, float(np.finfo(np.float32).max)),
    "float16": _Format(np.float32, np.float16, 65504.0, to_float16),
    "bfloat16": _Format(np.float32, np.uint16, 255 * 2.0**120, to_bfloat16_bits),
}


def uniform(key: Key, elements: Elements, bound: float, *, dtype: str = "float32", center: float = 0.0) -> Values:
    """Uniform on (center − bound, center + bound), symmetric about the center.

    `center + n · RN(bound · 2^-24)`, n odd from the top 25 bits of the word, |n| < 2^24: neither 0 nor an end point,
    unless the rounding to 16 bits or the addition of the center makes one.

    Args:
        key: the stream.
        elements: the element indices, a range or an array; the result has their shape.
        bound: half the width of the interval, ≥ 0.
        dtype: "float32", "float64", "float16", or "bfloat16" (returned as the uint16 patterns of its bits).
        center: the mean, added with a rounding of its own.

    Raises:
        BadInput: bound or center is not finite, bound is negative, or the values do not fit in dtype.
        UnknownName: there is no such dtype.

    Example:
        >>> from fanin.stream import key
        >>> print(uniform(key(0, "weight"), range(3), 0.05))
        [-0.0159363  -0.03221079 -0.04694569]

    Reference: inversion, Devroye 1986, "Non-Uniform Random Variate Generation", II.2.
    """
    bound, center = _not_negative("bound", bound), _finite("center", center)
    return _draw(key, elements, _symmetric_odd, unit=bound * 2.0**-24, shift=center, reach=bound, dtype=dtype)


def normal(key: Key, elements: Elements, std: float, *, mean: float = 0.0, dtype: str = "float32") -> Values:
    """Normal with the given mean and standard deviation.

    `mean + q32(word) · RN(std · 2^-27)`; |value − mean| < 6.3 std, as no word stands for a tail below 2^-32.

    Args:
        key: the stream.
        elements: the element indices, a range or an array; the result has their shape.
        std: the standard deviation, ≥ 0.
        mean: added with a rounding of its own.
        dtype: "float32", "float64", "float16", or "bfloat16" (returned as the uint16 patterns of its bits).

    Raises:
        BadInput: std or mean is not finite, std is negative, or the values do not fit in dtype.
        UnknownName: there is no such dtype.

    Example:
        >>> from fanin.stream import key
        >>> print(normal(key(0, "weight"), range(3), 0.02))
        [-0.0082145 -0.01846856 -0.03745741]

    Reference: inversion, Devroye 1986, "Non-Uniform Random Variate Generation", II.2.
    """
    std, mean = _not_negative("std", std), _finite("mean", mean)
    return _draw(key, elements, q32, unit=std * 2.0**-27, shift=mean, reach=_LARGEST_SIGMA * std, dtype=dtype)


def truncated_normal(
    key: Key,
    elements: Elements,
    std: float,
    low: float,
    high: float,
    *,
    mean: float = 0.0,
    dtype: str = "float32",
) -> Values:
    """A normal of standard deviation `std` conditioned on low ≤ (value − mean)/std ≤ high.

    `mean + clamp(q32(A + (word · (B − A) >> 32))) · RN(std · 2^-27)`, A = round(2^32 Φ(low)), B = round(2^32 Φ(high))

    One pass, nothing is rejected. The clamp makes the cuts exact in units of 2^-27 std, before the product rounds.

    Args:
        key: the stream.
        elements: the element indices, a range or an array; the result has their shape.
        std: the standard deviation of the parent normal, ≥ 0; that of the result is smaller.
        low: the lower cut in sigmas of the parent normal; -inf for none.
        high: the upper cut in sigmas of the parent normal; inf for none.
        mean: the mean of the parent normal, added with a rounding of its own.
        dtype: "float32", "float64", "float16", or "bfloat16" (returned as the uint16 patterns of its bits).

    Raises:
        BadInput: std or mean is not finite, std is negative, low < high does not hold, no random word falls between
            the cuts, or the values do not fit in dtype.
        UnknownName: there is no such dtype.

    Example:
        >>> from fanin.stream import key
        >>> print(truncated_normal(key(0, "weight"), range(3), 0.02, -1.0, 1.0))
        [-0.00552362 -0.01165087 -0.01834493]

    Reference: inversion of a truncated law, Devroye 1986, "Non-Uniform Random Variate Generation", II.2.
    """
    std, mean = _not_negative("std", std), _finite("mean", mean)
    first, count, lowest, highest = _window(float(low), float(high))
    farthest = min(max(abs(low), abs(high)), _LARGEST_SIGMA)

    def truncated(words: Words) -> _Integers:
        inside = first + (words.astype(np.uint64) * np.uint64(count) >> np.uint64(32)).astype(np.uint32)
        return np.clip(q32(inside), lowest, highest)

    return _draw(key, elements, truncated, unit=std * 2.0**-27, shift=mean, reach=farthest * std, dtype=dtype)


def _draw(
    key: Key,
    elements: Elements,
    integers: Callable[[Words], _Integers],
    *,
    unit: float,
    shift: float,
    reach: float,
    dtype: str,
) -> Values:
    """`integers · RN(unit) + RN(shift)` with a rounding after each operation, then rounded to the stored format."""
    if dtype not in _FORMATS:
        raise UnknownName("dtype", dtype, _FORMATS)
    form = _FORMATS[dtype]
    if abs(shift) + reach > form.largest:
        raise BadInput(
            f"Values of magnitude up to {abs(shift) + reach:.4g} do not fit in {dtype}, whose largest number is "
            f"{form.largest:.4g}. Use a smaller scale or a wider dtype."
        )
    factor, offset = form.computed(unit), form.computed(shift)

    def law(words: Words) -> Values:
        values: Values = integers(words).astype(form.computed)
        values = values * factor
        return form.rounded(values + offset if shift else values)

    return map_words(key, elements, law, form.stored)


def _symmetric_odd(words: Words) -> _Integers:
    return ((words ^ np.uint32(0x80000000)).view(np.int32) >> 7) | 1


def _finite(label: str, value: float) -> float:
    if not math.isfinite(value):
        raise BadInput(f"{label}: expected a finite number, got {value}.")
    return float(value)  # a float32 scalar would round the products below too early


def _not_negative(label: str, value: float) -> float:
    if not 0 <= value < math.inf:
        raise BadInput(f"{label}: expected a finite number ≥ 0, got {value}.")
    return float(value)


@lru_cache(maxsize=1024)
def _window(low: float, high: float) -> tuple[np.uint32, int, int, int]:
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
    return np.uint32(first), count, lowest, highest


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
