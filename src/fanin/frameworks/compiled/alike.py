"""How alike positions and samples are in arrays of floats, and which of their units are 0 throughout, compiled."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numba import njit

from fanin.frameworks.compiled.arrays import there
from fanin.signals.axes import Axes, Kind

_F64 = np.float64
_INTEGERS: Final = np.empty(0, np.int64)


class Alike(NamedTuple):
    """Over the units of an array, each of which has a value at every position of every sample.

    Attributes:
        of_means: the mean over samples and units of (mean over positions)².
        together: the mean over units of (mean over samples and positions)².
        dead: the share of the units that are 0 throughout.
    """

    of_means: float
    together: float
    dead: float


class Places:
    """Where the values of an array go that are added up over some of its axes.

    A run is what lies along the innermost axis: it goes to one place, or to as many as it is long, side by side.

    Attributes:
        numbers: the address and the size of the array of places where runs begin, how long a run is, whether it is kept
            (1) or summed over (0), and how many places there are.
    """

    def __init__(self, axes: Sequence[tuple[int, bool]]) -> None:
        """From the size of each axis, the last of which is innermost, and whether it is kept."""
        *outer, (length, kept) = axes or [(1, False)]
        shape = [size if keep else 1 for size, keep in outer]
        inner = length if kept else 1
        starts = np.arange(np.prod(shape, dtype=np.int64), dtype=np.int64).reshape(shape) * inner
        self._starts = np.ascontiguousarray(np.broadcast_to(starts, [size for size, _ in outer])).reshape(-1)
        self.numbers = (self._starts.ctypes.data, len(self._starts), length, int(kept), starts.size * inner)


class Sorted(NamedTuple):
    """Places of an array's values among the means over positions and among the units, and of these means there."""

    means: Places
    units: Places
    means_in_units: Places

    @property
    def numbers(self) -> tuple[int, ...]:
        """Of all three, in their order."""
        return tuple(number for places in self for number in places.numbers)


@lru_cache(1 << 10)
def sorted_by(axes: Axes) -> Sorted:
    """By what the axes of an array count."""
    factors = [(kind, size) for axis in axes for kind, size in axis]
    kept = [(kind, size) for kind, size in factors if kind is not Kind.POSITION]
    return Sorted(
        Places(_merged([(size, kind is not Kind.POSITION) for kind, size in factors])),
        Places(_merged([(size, kind is Kind.FEATURE) for kind, size in factors])),
        Places(_merged([(size, kind is Kind.FEATURE) for kind, size in kept])),
    )


def _merged(axes: Sequence[tuple[int, bool]]) -> list[tuple[int, bool]]:
    """Neighbours of one kind are one axis: runs are as long as they can be."""
    merged: list[tuple[int, bool]] = []
    for size, kept in axes:
        if merged and merged[-1][1] is kept:
            merged[-1] = (merged[-1][0] * size, kept)
        else:
            merged.append((size, kept))
    return merged


@njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _total(x):
    total = 0.0
    for i in range(x.size):
        total += _F64(x[i])
    return total


@njit(nogil=True)
def _added(x, places, starts):
    """Σ x over what is summed over."""
    length, kept, count = places[2], places[3], places[4]
    sums = np.zeros(count)
    for run in range(starts.size):
        values, start = x[run * length : (run + 1) * length], starts[run]
        if kept:
            into = sums[start : start + length]
            for i in range(length):
                into[i] += _F64(values[i])
        else:
            sums[start] += _total(values)
    return sums


@njit(nogil=True)
def _silent(x, places, starts):
    """How many units are 0 throughout."""
    length, kept, count = places[2], places[3], places[4]
    speaks = np.zeros(count, np.uint8)
    for run in range(starts.size):
        values, start = x[run * length : (run + 1) * length], starts[run]
        if kept:
            into = speaks[start : start + length]
            for i in range(length):
                into[i] |= np.uint8(values[i] != 0)
        else:
            for i in range(length):
                speaks[start] |= np.uint8(values[i] != 0)
    silent = count
    for speaking in speaks:
        silent -= speaking
    return silent


@njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _mean_square(sums, over):
    total = 0.0
    for i in range(sums.size):
        total += _F64(sums[i]) * _F64(sums[i])
    return total / (sums.size * over * over)


@njit(nogil=True)
def _mean_squares(x, of_means, means_in_units):
    """Of means over positions, which are the values where there is one position, and of those over samples, too."""
    together = _added(of_means, means_in_units, there(means_in_units[0], means_in_units[1], _INTEGERS))
    return _mean_square(of_means, x.size / of_means.size), _mean_square(together, x.size / together.size)


@njit(nogil=True)
def alike_of(x, zeros, places, row):
    """Of one array: what `Alike` says, into a row.

    Args:
        zeros: how many values are 0.
        places: the numbers of `Sorted`.
    """
    means, units, means_in_units = places[:5], places[5:10], places[10:]
    if means[4] == x.size:
        row[0], row[1] = _mean_squares(x, x, means_in_units)
    else:
        sums = _added(x, means, there(means[0], means[1], _INTEGERS))
        row[0], row[1] = _mean_squares(x, sums, means_in_units)
    silent = _silent(x, units, there(units[0], units[1], _INTEGERS)) if zeros else 0
    row[2] = silent / units[4]
