"""All that is to be known of arrays of floats, in one compiled call: each is gone over while it is in the cache.

What is counted in one array is told by `summed`, `spread`, `alike` and `rows`. Numba compiles anew what is kept on disk
when this file changes; after a change in one of those, touch this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from fanin.frameworks.compiled.alike import Alike, alike_of, sorted_by
from fanin.frameworks.compiled.arrays import Arrays, compiled, there
from fanin.frameworks.compiled.rows import Rows, rows_of
from fanin.frameworks.compiled.spread import Spread, limits_of, spread_of
from fanin.frameworks.compiled.summed import sums_of
from fanin.signals.axes import Axes
from fanin.signals.detail import BINS, OCTAVES, SAMPLE

_NEVER: Final = (-np.inf, np.inf)


class Wanted(NamedTuple):
    """What is to be known of an array, beside its sums.

    Attributes:
        near: below and above what values are counted; None where none are.
        closely: how its values are spread, and of rows what tells them and the whole array from others.
        axes: what its axes count, to know how alike samples and positions are.
        rows: how many rows it has, 0 where it has none, to know whether they are equal.
    """

    near: tuple[float, float] | None = None
    closely: bool = False
    axes: Axes | None = None
    rows: int | None = None


class Looked(NamedTuple):
    """What is known of several arrays: the sums of each, see `summed`, and what was wanted of some, in their order."""

    sums: list[list[float]]
    spreads: Iterator[Spread]
    alike: Iterator[Alike]
    rows: Iterator[Rows]


@compiled
def _look_at_each(arrays, kinds, near, places, sample, limits, digest, sums, ends, below, counts, alike, rows):
    addresses, sizes, floats, bits, magnitude, infinity = arrays
    spreads = alikes = of_rows = 0
    for i in range(sizes.size):
        x, as_bits = there(addresses[i], sizes[i], floats), there(addresses[i], sizes[i], bits)
        closely, axes, count = kinds[i]
        sums_of(x, as_bits, magnitude, infinity, near[i, 0], near[i, 1], sums[i])
        if closely:
            at = spreads
            spread_of(x, as_bits, magnitude, infinity, sample, limits, ends[at], below[at], counts[at])
            spreads += 1
        if axes >= 0:
            alike_of(x, sums[i, 2], places[axes], alike[alikes])
            alikes += 1
        if count >= 0:
            rows_of(x, as_bits, count, digest if closely else 0, rows[of_rows])
            of_rows += 1


def look_at_each(arrays: Arrays, wanted: Sequence[Wanted], digest: int = 0) -> Looked:
    """What is wanted of each of several arrays, in one call.

    Args:
        digest: of how many values the digests of arrays with rows are made at least.
    """
    dtype, n = arrays.floats.dtype, len(wanted)
    each_axes = [one.axes for one in wanted if one.axes is not None]
    into = {axes: sorted_by(axes) for axes in dict.fromkeys(each_axes)}  # kept: their numbers are addresses
    at = {None: -1} | {axes: i for i, axes in enumerate(into)}
    kinds = np.array([(c, at[axes], -1 if rows is None else rows) for _, c, axes, rows in wanted], np.int64)
    near = np.array([one.near or _NEVER for one in wanted], dtype)
    places = np.array([one.numbers for one in into.values()], np.int64).reshape(-1, 15)
    limits = limits_of(OCTAVES, dtype.char)
    spreads, _, of_rows = np.count_nonzero(kinds > (0, -1, -1), axis=0).tolist()
    sums, alike, rows = np.empty((n, 7)), np.empty((len(each_axes), 3)), np.empty((of_rows, 3), np.int64)
    ends, below = np.empty((spreads, 4)), np.empty((spreads, len(limits) + 1), np.int64)
    counts = np.empty((spreads, BINS + 1), np.int64)
    _look_at_each(arrays, kinds, near, places, SAMPLE, limits, digest, sums, ends, below, counts, alike, rows)
    shares = below[:, :-1] / np.maximum(below[:, -1:], 1)
    return Looked(
        sums.tolist(),
        map(Spread._make, zip(*ends.T.tolist(), shares.tolist(), counts[:, :BINS].tolist(), strict=True)),
        map(Alike._make, alike.tolist()),
        map(Rows._make, rows.tolist()),
    )
