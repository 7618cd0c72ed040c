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
_BITS: Final = {  # of a format: as which integers its values are read, the bits of their sizes, and those of infinity
    "f": (np.dtype(np.int32), np.int32(0x7FFFFFFF), np.int32(0x7F800000)),
    "d": (np.dtype(np.int64), np.int64((1 << 63) - 1), np.int64(0x7FF << 52)),
}
_F64 = np.float64

Sums = tuple[float, float, int, int, float, float]


def _compiled(fastmath: Any, function: Any) -> Any:
    """Compiled at the first call; kept in a cache on disk, or for this process alone where none can be written."""
    try:
        return njit(nogil=True, cache=True, fastmath=fastmath)(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return njit(nogil=True, fastmath=fastmath)(function)


def _summed(x, bits, magnitude, infinity):
    """Sums may be taken in any order; infinities and NaNs go through them as they should, and are counted."""
    total, squares, zeros, broken, largest, smallest = 0.0, 0.0, 0, 0, bits[0] & magnitude, infinity
    for start in range(0, x.size, _BLOCK):
        part, words = x[start : start + _BLOCK], bits[start : start + _BLOCK]
        for i in range(part.size):
            v = _F64(part[i])
            total += v
            squares += v * v
        for i in range(words.size):
            size = words[i] & magnitude  # as integers, the sizes of floats are in their order
            zeros += size == 0
            broken += size >= infinity
            largest = max(largest, size)
            smallest = min(smallest, size if size > 0 else infinity)
    return total, squares, zeros, broken, largest, smallest


def _beyond(x, low, high):
    count = 0
    for i in range(x.size):
        count += (x[i] < low) | (x[i] > high)
    return count


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


_sums = _compiled({"reassoc", "contract", "nsz"}, _summed)
_count_beyond = _compiled(False, _beyond)
_look_at_spread = _compiled(False, _spread)


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
    return int(_count_beyond(x, x.dtype.type(low), x.dtype.type(high)))


def spread(x: np.ndarray, octaves: tuple[int, ...], bins: int) -> Any:
    """Of a flat array of floats.

    Returns:
        The largest and the smallest |x| of finite values, the latter but 0; how many are finite; four root mean
        squares; how many are below 2^octave and not 0, for each octave, and how many are not 0; and how many are in
        each bin from −4 to 4 root mean squares.
    """
    below, in_bin = np.zeros(len(octaves) + 1, np.int64), np.zeros(bins, np.int64)
    found = _look_at_spread(x, _classes(octaves), below, in_bin)
    return *found, below, in_bin


@cache
def _classes(octaves: tuple[int, ...]) -> np.ndarray:
    """Of a float64's biased exponent b: it is in [2^(e−1), 2^e) with e = b − 1022."""
    return np.searchsorted(octaves, np.arange(2048) - 1022).astype(np.int64)
