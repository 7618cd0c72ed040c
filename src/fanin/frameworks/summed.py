"""One pass over an array of floats, compiled: its sum, its sum of squares, its zeros, and how far it reaches.

Importing this module imports numba, which the first measurement on a CPU does. What NumPy or PyTorch do in a call for
each number is one call here, and every value is read from memory once.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
from numba import njit

from fanin.stream.parallel import for_each

PIECE: Final = 1 << 18  # values; pieces are added up in their order, so that a sum is the same on any number of cores
_BLOCK: Final = 1 << 11  # values of a piece, which stay in the first-level cache for the second loop over them
_BITS: Final[
    dict[str, tuple[np.dtype[Any], Any, Any]]
] = {  # of a format: as which integers its values are read, the bits of their sizes, and those of infinity
    "f": (np.dtype(np.uint32), np.uint32(0x7FFFFFFF), np.uint32(0x7F800000)),
    "d": (np.dtype(np.uint64), np.uint64((1 << 63) - 1), np.uint64(0x7FF << 52)),
}
_F64 = np.float64

Sums = tuple[float, float, int, int, float, float]


def _compiled(function: Any) -> Any:
    """Compiled at the first call; kept in a cache on disk, or for this process alone where none can be written."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return njit(nogil=True)(function)


@njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _added(x):
    """In whatever order; infinities and NaNs go through as they should."""
    total, squares = 0.0, 0.0
    for i in range(x.size):
        v = _F64(x[i])
        total += v
        squares += v * v
    return total, squares


@njit(nogil=True)
def _sizes(bits, magnitude, largest, least):
    """How many are 0, the largest size, and the smallest less 1: 0 − 1 is the largest there is.

    Unsigned integers have the order of the sizes that they stand for, and one type throughout fills a vector.
    """
    zero, one = bits.dtype.type(0), bits.dtype.type(1)
    zeros = zero
    for i in range(bits.size):
        size = bits.dtype.type(bits[i] & magnitude)
        zeros = bits.dtype.type(zeros + (one if size == zero else zero))
        largest = max(largest, size)
        least = min(least, bits.dtype.type(size - one))
    return zeros, largest, least


@njit(nogil=True)
def _not_finite(bits, magnitude, infinity):
    count = 0
    for i in range(bits.size):
        count += (bits[i] & magnitude) >= infinity
    return count


@_compiled
def _sums(x, bits, magnitude, infinity):
    total, squares, zeros = 0.0, 0.0, 0
    largest, least = bits.dtype.type(0), bits.dtype.type(~bits.dtype.type(0))
    for start in range(0, x.size, _BLOCK):
        added, squared = _added(x[start : start + _BLOCK])
        none, largest, least = _sizes(bits[start : start + _BLOCK], magnitude, largest, least)
        total, squares, zeros = total + added, squares + squared, zeros + none
    broken = _not_finite(bits, magnitude, infinity) if largest >= infinity else 0
    smallest = infinity if least >= infinity else bits.dtype.type(least + bits.dtype.type(1))
    return total, squares, zeros, broken, largest, smallest


@_compiled
def _beyond(x, low, high):
    count = 0
    for i in range(x.size):
        count += (x[i] < low) | (x[i] > high)
    return count


@_compiled
def _spread(narrow, classes, octaves, counts):
    x = np.empty(narrow.size, np.float64)
    bits = x.view(np.int64)
    finite, squares, largest, smallest = 0, 0.0, 0.0, np.inf
    for i in range(x.size):
        x[i] = narrow[i]
        size = abs(x[i])
        if size < np.inf:
            finite += 1
            squares += size * size
            largest = max(largest, size)
            if 0.0 < size < smallest:
                smallest = size
    reach = 4.0 * np.sqrt(squares / max(finite, 1))
    if reach == 0.0:
        reach = 1.0
    half = counts.size / 2
    for i in range(x.size):
        if abs(x[i]) < np.inf:
            place = (x[i] / reach + 1.0) * half
            counts[int(min(max(place, 0.0), counts.size - 1.0))] += 1
            if x[i] != 0.0:
                octaves[classes[(bits[i] >> 52) & 0x7FF]] += 1
    for k in range(1, octaves.size):
        octaves[k] += octaves[k - 1]
    return largest, smallest, finite, reach


def summed(x: np.ndarray) -> Sums:
    """Of a flat, contiguous array of float32 or float64.

    Returns:
        Σ x and Σ x² in float64, how many values are 0, how many are no finite numbers, max |x|, which is no finite
        number where one of them is not, and min |x| over x ≠ 0.
    """
    integer, *constants = _BITS[x.dtype.char]
    bits = x.view(integer)
    if x.size <= PIECE:
        *sums, largest, smallest = _sums(x, bits, *constants)
    else:
        pieces: list[Any] = [None] * -(-x.size // PIECE)

        def piece(i: int) -> None:
            part = slice(i * PIECE, (i + 1) * PIECE)
            pieces[i] = _sums(x[part], bits[part], *constants)

        for_each(piece, range(len(pieces)))
        *parts, peaks, lows = zip(*pieces, strict=True)
        sums, largest, smallest = [sum(part) for part in parts], max(peaks), min(lows)
    sizes = np.array((largest, smallest), integer).view(x.dtype)
    return (*sums, *sizes.tolist())


def beyond(x: np.ndarray, low: float, high: float) -> int:
    """How many values of a flat, contiguous array are below `low` or above `high`."""
    return int(_beyond(x, x.dtype.type(low), x.dtype.type(high)))


def spread(x: np.ndarray, octaves: tuple[int, ...], bins: int) -> Any:
    """Of a flat array of floats.

    Returns:
        The largest and the smallest |x| of finite values, the latter but 0; how many are finite; four root mean
        squares; how many are below 2^octave and not 0, for each octave, and how many are not 0; and how many are in
        each bin from −4 to 4 root mean squares.
    """
    below, in_bin = np.zeros(len(octaves) + 1, np.int64), np.zeros(bins, np.int64)
    found = _spread(x, _classes(octaves), below, in_bin)
    return *found, below, in_bin


@cache
def _classes(octaves: tuple[int, ...]) -> np.ndarray:
    """Of a float64's biased exponent b: it is in [2^(e−1), 2^e) with e = b − 1022."""
    return np.searchsorted(octaves, np.arange(2048) - 1022).astype(np.int64)
