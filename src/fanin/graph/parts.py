"""Parts: the logical tensors that one stored tensor packs, such as query, key and value, gates, or experts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, TypeVar

from fanin.errors import BadInput

T = TypeVar("T")


class Part(NamedTuple):
    """One part: the `size` positions from `start` along the axis, and the shape that it has alone."""

    name: str
    start: int
    size: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Parts:
    """How a tensor splits along one axis. A part is a parameter of its own, called `tensor.part`.

    Attributes:
        names: one a part, in order; none where `slices` counts them.
        axis: along which the parts lie side by side.
        sizes: of the parts along the axis; all alike if none are given.
        slices: every position along the axis is a part, without that axis: "0", "1", … (a stack of experts).

    Example:
        >>> [(part.name, part.shape) for part in Parts(("q", "k", "v")).of((96, 32))]
        [('q', (32, 32)), ('k', (32, 32)), ('v', (32, 32))]
        >>> [(part.name, part.shape) for part in Parts(slices=True).of((2, 8, 4))]
        [('0', (8, 4)), ('1', (8, 4))]
        >>> [part.start for part in Parts(("q", "k", "v"), sizes=(64, 16, 16)).of((96, 32))]
        [0, 64, 80]

    Raises:
        BadInput: no parts, two of one name, or as many sizes as names are missing; later, a shape that does not split.
    """

    names: tuple[str, ...] = ()
    axis: int = 0
    sizes: tuple[int, ...] = ()
    slices: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", _tuple(self.names, str, "names"))  # JSON has lists only
        object.__setattr__(self, "sizes", _tuple(self.sizes, int, "sizes"))
        if not isinstance(self.axis, int):
            raise BadInput(f"Parts: axis must be an integer; got {self.axis!r}.")
        if bool(self.names) == self.slices or (self.slices and self.sizes):
            raise BadInput(f"Parts: give either names or slices=True; got {self}.")
        if len(set(self.names)) < len(self.names):
            raise BadInput(f"Parts: each part needs a name of its own; got {', '.join(self.names)}.")
        if self.sizes and (len(self.sizes) != len(self.names) or min(self.sizes) < 0):
            raise BadInput(f"Parts: expected a size for each of {', '.join(self.names)}; got {self.sizes}.")

    def of(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        """The parts of a tensor of that shape.

        Raises:
            BadInput: it does not have the axis, or its length is not that of the parts together.
        """
        if not -len(shape) <= self.axis < len(shape):
            raise BadInput(f"A tensor of shape {shape} has no axis {self.axis} along which to hold {self}.")
        axis = self.axis % len(shape)
        length = shape[axis]
        before, after = shape[:axis], shape[axis + 1 :]
        if self.slices:
            return tuple(Part(str(i), i, 1, before + after) for i in range(length))
        count = len(self.names)
        sizes = self.sizes or (length // count,) * count
        if sum(sizes) != length:
            expected = f"{' + '.join(map(str, sizes))}" if self.sizes else f"a multiple of {count}"
            raise BadInput(
                f"Axis {self.axis} of shape {shape} packs {', '.join(self.names)}: expected a length of {expected}; "
                f"got {length}."
            )
        starts = [0, *accumulate(sizes)]
        return tuple(
            Part(name, start, size, (*before, size, *after))
            for name, start, size in zip(self.names, starts, sizes, strict=False)
        )


def _tuple(values: Sequence[T], kind: type[T], what: str) -> tuple[T, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence) or not all(type(v) is kind for v in values):
        raise BadInput(f"Parts: {what} must be a sequence of {kind.__name__}; got {values!r}.")
    return tuple(values)
