"""How the values of arrays of floats are spread, compiled: what a closer look counts in a sample of them."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit

from fanin.frameworks.compiled.arrays import BITS

_F64 = np.float64


class Spread(NamedTuple):
    """Of the finite values of a sample.

    Attributes:
        largest, smallest: of their sizes, the smallest of those that are not 0; 0 and infinite where there is none.
        finite: how many there are.
        reach: four root mean squares; 1 where these are 0.
        below: which share of those that are not 0 is smaller than each limit.
        counts: how many are in each bin from −reach to reach; what lies beyond is in the first or the last.
    """

    largest: float
    smallest: float
    finite: float
    reach: float
    below: list[float]
    counts: list[int]


@njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _squares(x):
    total = 0.0
    for i in range(x.size):
        v = _F64(x[i])
        total += v * v
    return total


@njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _finite_squares(x, bits, magnitude, infinity):
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
    """How many are 0 and how many finite; the largest finite size, and the smallest but 0 less 1, as a float's bits."""
    zero, one = bits.dtype.type(0), bits.dtype.type(1)
    zeros, finite, largest, least = zero, zero, zero, bits.dtype.type(~zero)
    for i in range(bits.size):
        size = bits.dtype.type(bits[i] & magnitude)
        zeros = bits.dtype.type(zeros + (one if size == zero else zero))
        finite = bits.dtype.type(finite + (one if size < infinity else zero))
        largest = max(largest, size if size < infinity else zero)
        least = min(least, bits.dtype.type(size - one))
    return zeros, finite, largest, least


@njit(nogil=True)
def _count(x, bits, magnitude, infinity, reach, counts):
    """A histogram; what is not finite goes to one more place, the last, which is emptied.

    All places are found before any is counted: the first loop fills a vector, and the second cannot. It counts in four
    histograms in turn, since to add one where one was just added is to wait.
    """
    width, bins = counts.size, counts.size - 1
    scale, half, last = 0.5 * bins / reach, 0.5 * bins, bins - 1.0
    signed = np.empty((x.size + 3) // 4 * 4, np.int32)  # what a vector of floats becomes
    signed[x.size :] = bins
    for i in range(x.size):
        place = x[i] * scale + half
        place = place if place > 0.0 else 0.0
        place = place if place < last else last
        signed[i] = np.int32(place) if (bits[i] & magnitude) < infinity else np.int32(bins)
    places = signed.view(np.uint32)  # none is asked whether it counts from the end
    four = np.zeros((4, width), np.int32)
    first, second, third, fourth = four[0], four[1], four[2], four[3]
    for i in range(0, places.size, 4):
        first[places[i]] += 1
        second[places[i + 1]] += 1
        third[places[i + 2]] += 1
        fourth[places[i + 3]] += 1
    for k in range(bins):
        counts[k] = first[k] + second[k] + third[k] + fourth[k]
    counts[bins] = 0


@njit(nogil=True)
def _spread(x, bits, magnitude, infinity, limits, row, below, counts):
    zeros, finite, largest, least = _ends(bits, magnitude, infinity)
    for k in range(limits.size):  # most limits are beyond all of the values
        below[k] = 0
        if limits[k] > least:
            below[k] = _smaller(bits, magnitude, limits[k]) - zeros if limits[k] <= largest else finite - zeros
    below[limits.size] = finite - zeros
    squares = _squares(x) if finite == x.size else _finite_squares(x, bits, magnitude, infinity)
    reach = 4.0 * np.sqrt(squares / max(finite, 1))
    if reach == 0.0:
        reach = 1.0
    _count(x, bits, magnitude, infinity, reach, counts)
    ends = np.empty(2, bits.dtype)
    ends[0], ends[1] = largest, infinity if least >= infinity else bits.dtype.type(least + bits.dtype.type(1))
    sizes = ends.view(x.dtype)
    row[0], row[1], row[2], row[3] = sizes[0], sizes[1], finite, reach


@njit(nogil=True)
def spread_of(x, bits, magnitude, infinity, sample, limits, row, below, counts):
    """Of one array; of a large one, of so many values that are evenly strided.

    Args:
        limits: of the sizes, as integers.
        row: for the first four of `Spread`.
        below: for how many are smaller than each limit and not 0, and one more for how many are not 0.
        counts: for as many as there are bins, and one more.
    """
    step = max(1, x.size // sample)
    if x.size > sample:
        x = x[: sample * step : step].copy()
        bits = x.view(bits.dtype)
    _spread(x, bits, magnitude, infinity, limits, row, below, counts)


@cache
def limits_of(octaves: tuple[int, ...], of: str) -> np.ndarray:
    """2^octave in a format, as integers."""
    return np.ldexp(1.0, octaves).astype(of).view(BITS[of][0])
