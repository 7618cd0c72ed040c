"""Floats that are read as integers, and arrays that are gone over together, in compiled loops."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
from numba import carray, njit, types  # type: ignore[attr-defined]
from numba.extending import intrinsic

BITS: Final[
    dict[str, tuple[np.dtype[Any], Any, Any]]
] = {  # of a format: as which integers its values are read, the bits of their sizes, and those of infinity
    "f": (np.dtype(np.uint32), np.uint32(0x7FFFFFFF), np.uint32(0x7F800000)),
    "d": (np.dtype(np.uint64), np.uint64((1 << 63) - 1), np.uint64(0x7FF << 52)),
}


class Arrays(NamedTuple):
    """Flat, contiguous arrays of one dtype, by where they are in memory; whoever made them has to keep them.

    Attributes:
        addresses: of their first values.
        sizes: how many values each has.
        floats, bits: empty, of the dtype and of the integers that its values are read as.
        magnitude, infinity: see `BITS`.
    """

    addresses: np.ndarray
    sizes: np.ndarray
    floats: np.ndarray
    bits: np.ndarray
    magnitude: Any
    infinity: Any

    @classmethod
    def of(cls, places: Iterable[tuple[int, int]], char: str) -> Arrays:
        """From addresses and sizes, and the letter of the dtype."""
        addresses, sizes = np.array(tuple(places), np.int64).reshape(-1, 2).T.copy()
        integer, magnitude, infinity = BITS[char]
        return cls(addresses, sizes, np.empty(0, char), np.empty(0, integer), magnitude, infinity)


def compiled(function: Any) -> Any:
    """Compiled at the first call; kept in a cache on disk, or for this process alone where none can be written."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return njit(nogil=True)(function)


@intrinsic
def _pointer(typing: Any, address: Any) -> Any:
    """An address as what `carray` takes."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.inttoptr(given[0], context.get_value_type(signature.return_type))

    return types.voidptr(address), generate


@njit(nogil=True)
def there(address, size, like):
    """The array of that many values of `like`'s dtype that begins at an address."""
    return carray(_pointer(address), (size,), like.dtype)  # type: ignore[call-arg]


@njit(nogil=True)
def not_finite(bits, magnitude, infinity):
    """How many are infinite or NaN."""
    count = 0
    for i in range(bits.size):
        count += (bits[i] & magnitude) >= infinity
    return count
