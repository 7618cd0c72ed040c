"""All that is to be known of arrays of floats, in one compiled call: each is gone over while it is in the cache.

What is counted in one array is told by `summed`, `spread`, `alike` and `rows`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from fanin.frameworks.compiled.alike import Alike, alike_of, sorted_by
from fanin.frameworks.compiled.arrays import Arrays, compiled, there
from fanin.frameworks.compiled.rows import Rows, rows_of
from fanin.frameworks.compiled.spread import Spread, limits_of, spread_of
from fanin.frameworks.compiled.summed import sums_of
from fanin.signals.detail import BINS, OCTAVES, SAMPLE

_INTEGERS: Final = np.empty(0, np.int64)
_NEVER: Final = (-np.inf, np.inf)


class Wanted(NamedTuple):
    """What is to be known of an array, beside its sums.

    Attributes:
        near: below and above what values are counted; None where none are.
        spread: how its values are spread.
        axes: what its axes count, as `sorted_by` takes it, to know how alike samples and positions are.
        rows: how many rows it has, 0 where it has none, to know whether they are equal.
    """

    near: tuple[float, float] | None = None
    spread: bool = False
    axes: Any = None
    rows: int | None = None


class Looked(NamedTuple):
    """What is known of an array; None of what was not wanted. Of the sums see `summed`."""

    sums: list[float]
    spread: Spread | None
    alike: Alike | None
    rows: Rows | None


@compiled
def _look_at_each(arrays, kinds, near, places, sample, limits, digest, sums, ends, below, counts, alike, rows):
    """Each kind of row is written one after the other."""
    addresses, sizes, floats, bits, magnitude, infinity = arrays
    spreads = alikes = of_rows = 0
    for i in range(sizes.size):
        x, as_bits = there(addresses[i], sizes[i], floats), there(addresses[i], sizes[i], bits)
        sums_of(x, as_bits, magnitude, infinity, near[i, 0], near[i, 1], sums[i])
        if kinds[i, 0]:
            at = spreads
            spread_of(x, as_bits, magnitude, infinity, sample, limits, ends[at], below[at], counts[at])
            spreads += 1
        if kinds[i, 1]:
            alike_of(x, places[alikes], alike[alikes])
            alikes += 1
        if kinds[i, 2] >= 0:
            rows_of(x, as_bits, kinds[i, 2], digest, rows[of_rows])
            of_rows += 1


def look_at_each(arrays: Arrays, wanted: Sequence[Wanted], digest: int = 1) -> Iterator[Looked]:
    """What is wanted of each of several arrays, in one call.

    Args:
        digest: of how many values the digest of rows is made at least.
    """
    near = np.array([one.near or _NEVER for one in wanted], arrays.floats.dtype)
    kinds = np.array([(s, a is not None, -1 if r is None else r) for _, s, a, r in wanted], np.int64)
    into = [sorted_by(one.axes) for one in wanted if one.axes is not None]  # kept: their numbers are addresses
    places = np.array([one.numbers for one in into], np.int64).reshape(-1, 15)
    limits = limits_of(OCTAVES, arrays.floats.dtype.char)
    spreads, _, of_rows = np.count_nonzero(kinds > (0, 0, -1), axis=0).tolist()
    sums, alike, rows = np.empty((len(wanted), 7)), np.empty((len(into), 3)), np.empty((of_rows, 3), np.int64)
    ends, below = np.empty((spreads, 4)), np.empty((spreads, len(limits) + 1), np.int64)
    counts = np.empty((spreads, BINS + 1), np.int64)
    _look_at_each(arrays, kinds, near, places, SAMPLE, limits, digest, sums, ends, below, counts, alike, rows)
    each_spread = map(Spread, *ends.T.tolist(), below.tolist(), counts[:, : BINS].tolist())
    each_alike, each_rows = map(Alike._make, alike.tolist()), map(Rows.of, rows.tolist())
    for one, numbers in zip(wanted, sums.tolist(), strict=True):
        yield Looked(
            numbers,
            next(each_spread) if one.spread else None,
            next(each_alike) if one.axes is not None else None,
            next(each_rows) if one.rows is not None else None,
        )
