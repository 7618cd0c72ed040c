"""How the values of arrays of floats are spread, compiled: what a closer look counts in a sample of them."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit

from fanin.frameworks.compiled.arrays import BITS, Arrays, compiled, there

_F64 = np.float64


class Spread(NamedTuple):
    """Of the finite values of a sample.

    Attributes:
        largest, smallest: of their sizes, the smallest of those that are not 0; 0 and infinite where there is none.
        finite: how many there are.
        reach: four root mean squares; 1 where these are 0.
        below: how many are not 0 and smaller than each limit, and how many are not 0.
        counts: how many are in each bin from −reach to reach; what lies beyond is in the first or the last.
    """

    largest: float
    smallest: float
    finite: float
    reach: float
    below: list[int]
    counts: list[int]


@njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _squares(x, bits, magnitude, infinity):
    total = 0.0
    for i in range(x.size):
        v = _F64(x[i]) if (bits[i] & magnitude) < infinity else 0.0
        total += v * v
    return total


@njit(nogil=True)
def _smaller(bits, magnitude, limit):
    """How many sizes are below a limit; counted in the type of the sizes, which fills a vector."""
    zero, one = bits.dtype.type(0), bits.dtype.type(1)
    count = zero
    for i in range(bits.size):
        count = bits.dtype.type(count + (one if (bits[i] & magnitude) < limit else zero))
    return count


@njit(nogil=True)
def _ends(bits, magnitude, infinity):
    """The largest finite size, and the smallest but 0 less 1, as the bits of a float."""
    zero, one = bits.dtype.type(0), bits.dtype.type(1)
    largest, least = zero, bits.dtype.type(~zero)
    for i in range(bits.size):
        size = bits.dtype.type(bits[i] & magnitude)
        largest = max(largest, size if size < infinity else zero)
        least = min(least, bits.dtype.type(size - one))
    return largest, least


@njit(nogil=True)
def _count(x, bits, magnitude, infinity, reach, counts):
    """A histogram; what is not finite goes to one more place, the last, which is emptied.

    All places are found before any is counted: the first loop fills a vector, and the second cannot.
    """
    bins = counts.size - 1
    scale, half, last = 0.5 * bins / reach, 0.5 * bins, bins - 1.0
    places = np.empty(x.size, np.uint32)
    for i in range(x.size):
        place = x[i] * scale + half
        place = place if place > 0.0 else 0.0
        place = place if place < last else last
        places[i] = np.uint32(place) if (bits[i] & magnitude) < infinity else np.uint32(bins)
    for place in places:
        counts[place] += 1
    counts[bins] = 0


@njit(nogil=True)
def _spread(x, bits, magnitude, infinity, limits, row, below, counts):
    zeros = _smaller(bits, magnitude, bits.dtype.type(1))
    finite = _smaller(bits, magnitude, infinity)
    largest, least = _ends(bits, magnitude, infinity)
    for k in range(limits.size):  # most limits are beyond all of the values
        below[k] = 0
        if limits[k] > least:
            below[k] = _smaller(bits, magnitude, limits[k]) - zeros if limits[k] <= largest else finite - zeros
    below[limits.size] = finite - zeros
    reach = 4.0 * np.sqrt(_squares(x, bits, magnitude, infinity) / max(finite, 1))
    if reach == 0.0:
        reach = 1.0
    _count(x, bits, magnitude, infinity, reach, counts)
    ends = np.empty(2, bits.dtype)
    ends[0], ends[1] = largest, infinity if least >= infinity else bits.dtype.type(least + bits.dtype.type(1))
    sizes = ends.view(x.dtype)
    row[0], row[1], row[2], row[3] = sizes[0], sizes[1], finite, reach


@compiled
def _spread_of_each(addresses, sizes, floats, bits, magnitude, infinity, sample, limits, rows, below, counts):
    for i in range(sizes.size):
        step = max(1, sizes[i] // sample)
        x, as_bits = there(addresses[i], sizes[i], floats), there(addresses[i], sizes[i], bits)
        if sizes[i] > sample:
            x, as_bits = x[: sample * step : step].copy(), as_bits[: sample * step : step].copy()
        _spread(x, as_bits, magnitude, infinity, limits, rows[i], below[i], counts[i])


def spread_each(arrays: Arrays, sample: int, octaves: tuple[int, ...], bins: int) -> list[Spread]:
    """Of each of several arrays, in one call; of a large one, of so many values that are evenly strided.

    Args:
        octaves: the limits are 2^octave.
    """
    n, limits = len(arrays.sizes), _limits(octaves, arrays.floats.dtype.char)
    rows, below = np.empty((n, 4)), np.empty((n, len(limits) + 1), np.int64)
    counts = np.zeros((n, bins + 1), np.int64)
    _spread_of_each(*arrays, sample, limits, rows, below, counts)
    each = zip(rows.tolist(), below.tolist(), counts[:, :bins].tolist(), strict=True)
    return [Spread(row[0], row[1], row[2], row[3], some, in_bins) for row, some, in_bins in each]


@cache
def _limits(octaves: tuple[int, ...], of: str) -> np.ndarray:
    return np.ldexp(1.0, octaves).astype(of).view(BITS[of][0])
