"""Whether rows of arrays of floats are equal, and a number for the values of each array, compiled."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numba import njit

_PRIME: Final = np.uint64(0x9E3779B97F4A7C15)
_HALF, _THIRD = np.uint64(17), np.uint64(29)


class Rows(NamedTuple):
    """Of an array.

    Attributes:
        same: 1 where there are several rows, and all are equal.
        distinct: 1 where there are rows, and no two of them begin with the same value.
        digest: a function of the bits of a sample, from 0 to 2⁶³ − 1.
    """

    same: int
    distinct: int
    digest: int


@njit(nogil=True)
def _same(x, length):
    for i in range(length, x.size):
        if x[i] != x[i - length]:
            return False
    return x.size > length


@njit(nogil=True)
def _distinct(bits, length):
    """By a table in which most first values have a place of their own."""
    rows, places = bits.size // length, 64
    while places < 2 * rows:
        places *= 2
    table = np.zeros(places, np.int64)  # the number of the row, from 1
    for row in range(rows):
        value = bits[row * length]
        place = np.int64((np.uint64(value) * _PRIME) >> _HALF) & (places - 1)
        while table[place] != 0:
            if bits[(table[place] - 1) * length] == value:
                return False
            place = (place + 1) & (places - 1)
        table[place] = row + 1
    return True


@njit(nogil=True)
def _digest(bits, sample):
    """A sum, which does not wait for itself, of what is mixed of each value and its place."""
    total = np.uint64(0)
    for place, i in enumerate(range(0, bits.size, max(1, bits.size // sample))):
        value = np.uint64(bits[i])
        mixed = (value ^ (value >> _HALF)) * ((np.uint64(place + 1) * _PRIME) | np.uint64(1))
        total += mixed ^ (mixed >> _THIRD)
    return np.int64(total >> np.uint64(1))


@njit(nogil=True)
def rows_of(x, bits, count, sample, row):
    """Of one array: what `Rows` says, into a row.

    Args:
        count: how many rows there are; 0 where there are none.
        sample: of how many values, evenly strided, the digest is made at least; 0 where none is made, and nothing is
            said of distinct rows.
    """
    length = x.size // max(count, 1)
    row[0] = _same(x, length) if count else 0
    row[1] = _distinct(bits, length) if count and sample else 0
    row[2] = _digest(bits, sample) if sample else 0
