"""Tensors of a CPU that wait for one another, to be looked at in one compiled call.

Most tensors of a net are so small that being called is what takes time, not what is done with their values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Final, Generic, TypeVar

import torch

T = TypeVar("T")
COMPILED: Final = frozenset({torch.float32, torch.float64})  # what is passed over in one call on a CPU
_NARROW: Final = frozenset({torch.float16, torch.bfloat16})  # what is widened for it
_READ: Final = COMPILED | _NARROW
_SMALL: Final = 1 << 18  # values; those of a larger tensor take longer than any call
_HELD: Final = 1 << 22  # bytes that may wait; more would be taken from the system anew, in place of what was given back


class Together(Generic[T]):
    """Tensors, each with what is to be known of it.

    Args:
        look: is given them, flat, contiguous and of dtypes in `COMPILED`, when enough of them wait or at `settle`.
    """

    def __init__(self, look: Callable[[Sequence[torch.Tensor], Sequence[T]], None]) -> None:
        self._look = look
        self._tensors: list[torch.Tensor] = []
        self._those: list[T] = []
        self._held = 0

    def add(self, x: torch.Tensor, one: T, lasts: bool = False) -> T:
        """A tensor that `waits`, and what is to be known of it.

        Args:
            x: as `plain` makes it.
            lasts: somebody else keeps the tensor until `settle`, so that no memory is held by its waiting.
        """
        self._tensors.append(x)
        self._those.append(one)
        self._held += 0 if lasts else x.nbytes
        if self._held > _HELD:
            self.settle()
        return one

    def settle(self) -> None:
        """Look at all that wait."""
        tensors, those = self._tensors, self._those
        self._tensors, self._those, self._held = [], [], 0
        if tensors:
            self._look(tensors, those)


def waits(x: torch.Tensor) -> bool:
    """It is small, there are values that compiled loops read, and there is a compiler."""
    return 0 < x.numel() <= _SMALL and here(x) and x.dtype in _READ and compiles()


def here(x: torch.Tensor) -> bool:
    """Its numbers can be looked at without waiting for a device."""
    return x.is_cpu


def plain(x: torch.Tensor) -> torch.Tensor:
    """The same values in the same order, as compiled loops read them: side by side, and not narrower than a float32."""
    whole = x.resolve_neg().contiguous()
    return whole.float() if x.dtype in _NARROW else whole


def as_it_lies(x: torch.Tensor) -> list[int]:
    """The axes of a tensor in the order in which they lie in memory, the innermost last."""
    steps = x.stride()
    return sorted(range(len(steps)), key=[-step for step in steps].__getitem__)


def by_dtype(tensors: Sequence[torch.Tensor], those: Sequence[T]) -> Iterator[tuple[Any, list[T]]]:
    """Tensors of each dtype as `Arrays`, which last as long as the tensors do, and what is to be known of them."""
    from fanin.frameworks.compiled.arrays import Arrays

    letters = {torch.float32: "f", torch.float64: "d"}
    for dtype in {x.dtype for x in tensors}:
        some = [i for i, x in enumerate(tensors) if x.dtype == dtype]
        places = [(tensors[i].data_ptr(), tensors[i].numel()) for i in some]
        yield Arrays.of(places, letters[dtype]), [those[i] for i in some]


@cache
def compiles() -> bool:
    """Numba can be imported; it cannot where NumPy is newer than it knows."""
    try:
        import fanin.frameworks.compiled.arrays  # noqa: F401
    except ImportError:
        return False
    return True
