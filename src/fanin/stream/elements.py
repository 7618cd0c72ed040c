"""Which elements are asked for: a range, runs at a regular distance, or a list of indices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput


@dataclass(frozen=True)
class Runs:
    """`count` runs of `length` consecutive elements, the first element of each `step` after that of the one before.

    A block of rows and columns of a matrix: as many runs as rows, the width of the whole matrix apart.

    Example:
        >>> Runs(start=5, step=10, count=2, length=3)[:]
        array([ 5,  6,  7, 15, 16, 17], dtype=uint64)
    """

    start: int
    step: int
    count: int
    length: int

    def __len__(self) -> int:
        """The number of elements."""
        return self.count * self.length

    @property
    def last(self) -> int:
        """The largest index, if there is one."""
        return self.start + (self.count - 1) * self.step + self.length - 1

    def __getitem__(self, positions: slice) -> npt.NDArray[np.uint64]:
        """The indices at a slice of positions, run after run."""
        begin, end, step = positions.indices(len(self))
        position = np.arange(begin, max(begin, end), step, dtype=np.uint64)
        run, within = np.divmod(position, np.uint64(max(self.length, 1)))
        return np.uint64(self.start) + run * np.uint64(self.step) + within


Elements: TypeAlias = range | Runs | npt.NDArray[np.integer[Any]]


def shape_of(elements: Elements) -> tuple[int, ...]:
    """Of the values drawn for them."""
    return elements.shape if isinstance(elements, np.ndarray) else (len(elements),)


def index_array(elements: Elements) -> npt.NDArray[np.int64]:
    """Every index below 2^63, in the shape of the elements."""
    if isinstance(elements, range):  # np.asarray would go through Python's integers
        return np.arange(elements.start, elements.stop, elements.step, dtype=np.int64)
    return (elements[:] if isinstance(elements, Runs) else elements).astype(np.int64, copy=False)


def bounds(elements: Elements) -> tuple[int, int] | None:
    """The smallest and the largest index; None if there are no elements.

    Raises:
        BadInput: not elements, or a range or runs that do not ascend.
    """
    if isinstance(elements, range):
        if elements.step < 1:
            raise BadInput(f"elements: expected a range that runs forwards, got {elements}.")
        return (elements[0], elements[-1]) if elements else None
    if isinstance(elements, Runs):
        if min(elements.count, elements.length) < 0 or (elements.count > 1 and elements.step < elements.length):
            raise BadInput(f"elements: expected runs that ascend and do not overlap, got {elements}.")
        return (elements.start, elements.last) if elements else None
    if not isinstance(elements, np.ndarray) or not np.issubdtype(elements.dtype, np.integer):
        got = f"an array of {elements.dtype}" if isinstance(elements, np.ndarray) else repr(elements)
        raise BadInput(f"elements: expected a range, Runs or an array of integers, got {got}.")
    return (int(elements.min()), int(elements.max())) if elements.size else None


def check_elements(elements: Elements) -> None:
    """Indices in [0, 2^64)."""
    reach = bounds(elements)
    if reach and not 0 <= reach[0] <= reach[1] < 1 << 64:
        raise BadInput(f"elements: expected indices in [0, 2**64), got {reach[0]} … {reach[1]}.")
