"""A series that never grows beyond a size and keeps its whole span."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Thinned(Generic[T]):
    """When it is full, every second item goes, and from then on every second one that comes is kept; the last is, too.

    Example:
        >>> series = Thinned[int](4)
        >>> for i in range(10):
        ...     series.add(i)
        >>> series.kept
        (0, 4, 8, 9)
    """

    def __init__(self, size: int) -> None:
        self._size, self._stride, self._count = size, 1, 0
        self._items: list[T] = []
        self._last: T | None = None

    def add(self, item: T) -> None:
        """One more."""
        self._last = item
        if self._count % self._stride == 0:
            if len(self._items) == self._size:
                self._items = self._items[::2]
                self._stride *= 2
            if self._count % self._stride == 0:
                self._items.append(item)
        self._count += 1

    @property
    def kept(self) -> tuple[T, ...]:
        """Oldest first."""
        last = self._last
        extra = () if last is None or (self._items and self._items[-1] is last) else (last,)
        return (*self._items, *extra)
