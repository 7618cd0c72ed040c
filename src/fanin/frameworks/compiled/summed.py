"""One pass over an array of floats, compiled: its sum, its sum of squares, its zeros, and how far it reaches.

What NumPy or PyTorch do in a call for each number is one call here, and every value is read from memory once.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from fanin.frameworks.compiled.arrays import BITS, compiled, not_finite
from fanin.stream.parallel import for_each

PIECE: Final = 1 << 18  # values; pieces are added up in their order, so that a sum is the same on any number of cores
_BLOCK: Final = 1 << 11  # values of a piece, which stay in the first-level cache for the second loop over them
_F64 = np.float64


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
def _extremes(bits, magnitude):
    """The largest and the smallest size."""
    largest, smallest = bits.dtype.type(0), bits.dtype.type(magnitude)
    for i in range(bits.size):
        size = bits.dtype.type(bits[i] & magnitude)
        largest, smallest = max(largest, size), min(smallest, size)
    return largest, smallest


@njit(nogil=True)
def _zeros(bits, magnitude):
    """How many are 0, and the smallest size but 0 less 1: 0 − 1 is the largest there is.

    Unsigned integers have the order of the sizes that they stand for, and one type throughout fills a vector.
    """
    zero, one = bits.dtype.type(0), bits.dtype.type(1)
    zeros, least = zero, bits.dtype.type(~zero)
    for i in range(bits.size):
        size = bits.dtype.type(bits[i] & magnitude)
        zeros = bits.dtype.type(zeros + (one if size == zero else zero))
        least = min(least, bits.dtype.type(size - one))
    return zeros, least


@njit(nogil=True)
def _beyond(x, low, high):
    count = 0
    for i in range(x.size):
        count += (x[i] < low) | (x[i] > high)
    return count


@njit(nogil=True)
def sums_of(x, bits, magnitude, infinity, low, high, row):
    """What `summed` says, of one piece."""
    total, squares, zeros = 0.0, 0.0, 0
    one = bits.dtype.type(1)
    largest, least = bits.dtype.type(0), bits.dtype.type(~bits.dtype.type(0))
    for start in range(0, x.size, _BLOCK):
        block = bits[start : start + _BLOCK]
        added, squared = _added(x[start : start + _BLOCK])
        large, small = _extremes(block, magnitude)
        none, small = _zeros(block, magnitude) if small == 0 else (bits.dtype.type(0), bits.dtype.type(small - one))
        total, squares, zeros = total + added, squares + squared, zeros + none
        largest, least = max(largest, large), min(least, small)
    broken = not_finite(bits, magnitude, infinity) if largest >= infinity else 0
    ends = np.empty(2, bits.dtype)
    ends[0], ends[1] = largest, infinity if least >= infinity else bits.dtype.type(least + bits.dtype.type(1))
    sizes = ends.view(x.dtype)
    near = _beyond(x, low, high) if low > -np.inf else 0
    row[0], row[1], row[2], row[3], row[4], row[5], row[6] = total, squares, zeros, broken, sizes[0], near, sizes[1]


@compiled
def _sums_of_one(x, bits, magnitude, infinity, low, high, row):
    sums_of(x, bits, magnitude, infinity, low, high, row)


def summed(x: np.ndarray, low: float = -np.inf, high: float = np.inf) -> tuple[float, ...]:
    """Of a flat, contiguous array of float32 or float64.

    Returns:
        Σ x and Σ x² in float64, how many values are 0, how many are no finite numbers, max |x|, which is no finite
        number where one of them is not, how many are below `low` or above `high`, and min |x| over x ≠ 0.
    """
    integer, *constants = BITS[x.dtype.char]
    bits, near = x.view(integer), (x.dtype.type(low), x.dtype.type(high))
    rows = np.empty((-(-x.size // PIECE), 7))

    def piece(i: int) -> None:
        part = slice(i * PIECE, (i + 1) * PIECE)
        _sums_of_one(x[part], bits[part], *constants, *near, rows[i])

    if len(rows) == 1:
        piece(0)
    else:
        for_each(piece, range(len(rows)))
    total, squares, zeros, broken, _, beyond, _ = (sum(column) for column in rows.T.tolist())
    largest, smallest = float(rows[:, 4].max()), float(rows[:, 6].min())  # NumPy's: a NaN is the largest
    return total, squares, zeros, broken, largest, beyond, smallest
