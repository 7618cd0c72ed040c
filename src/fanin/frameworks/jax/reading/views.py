"""Where the elements of one array lie in another that was transposed, reshaped or broadcast out of it.

JAX moves axes freely: a bias is added as (1, 1, 8), a kernel is contracted over its first axis or its last, `vmap` puts
the batch in the middle. A `View` follows each axis through all of that, so that a weight's axes are known by what they
meet, and a chain of reshapes is one step in the graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

Shape: TypeAlias = tuple[int, ...]


class Atom(NamedTuple):
    """Digits of an index along one axis of the source: `size` of them, each worth `inner` steps."""

    axis: int
    size: int
    inner: int


Axis: TypeAlias = tuple[Atom, ...]


@dataclass(frozen=True)
class View:
    """An array as seen through transposes and reshapes of another.

    Attributes:
        source: the array it is a view of: a node, an input or a parameter, by name.
        shape: of the view.
        axes: for each of its axes the atoms of the source that it runs through, the slowest first; () is of size 1, or,
            if `shape` says more, repeats the same.

    Example:
        >>> heads = whole("x", (2, 6)).reshaped((2, 3, 2)).transposed((1, 0, 2))
        >>> heads.reshaped((3, 4)) is None, heads.transposed((1, 0, 2)).reshaped((2, 6)) == whole("x", (2, 6))
        (False, True)
    """

    source: str
    shape: Shape
    axes: tuple[Axis, ...]

    def transposed(self, order: Sequence[int]) -> View:
        """Axis i of the result is axis `order[i]` of this."""
        return View(self.source, tuple(self.shape[i] for i in order), tuple(self.axes[i] for i in order))

    def reshaped(self, shape: Shape) -> View | None:
        """Row-major, as every framework reshapes; None where that cannot be said by axes, or repeats are rolled in."""
        if math.prod(shape) != math.prod(self.shape) or 0 in shape or self.repeats:
            return None
        left = [atom for axis in self.axes for atom in axis]
        axes: list[Axis] = []
        for size in shape:
            taken = _take(left, size)
            if taken is None:
                return None
            axes.append(taken)
        return View(self.source, shape, tuple(axes))

    def broadcast(self, shape: Shape, at: Sequence[int]) -> View:
        """Axis i becomes axis `at[i]` of the shape; all others repeat."""
        axes: list[Axis] = [()] * len(shape)
        for axis, place in zip(self.axes, at, strict=True):
            axes[place] = axis if math.prod(a.size for a in axis) == shape[place] else ()
        return View(self.source, tuple(shape), tuple(axes))

    @property
    def repeats(self) -> bool:
        """Whether some axis shows the same elements again and again."""
        return any(not axis and size != 1 for axis, size in zip(self.axes, self.shape, strict=True))

    def of(self, source: str) -> View:
        """The same view of another array, which has the shape of the source."""
        return View(source, self.shape, self.axes)

    def order(self, source: Shape, of: Sequence[int]) -> Shape | None:
        """The axes of the source that these axes of the view run through, in order; None where one is cut."""
        atoms = [a for i in of for a in self.axes[i] if a.size > 1]
        if any(a.size != source[a.axis] for a in atoms) or any(not self.axes[i] and self.shape[i] > 1 for i in of):
            return None
        return tuple(a.axis for a in atoms)


def whole(source: str, shape: Shape) -> View:
    """An array as it is."""
    return View(source, shape, tuple((Atom(axis, size, 1),) for axis, size in enumerate(shape)))


def _take(left: list[Atom], size: int) -> Axis | None:
    """The next atoms that make an axis of that size; they are taken from the list, the last in part if need be."""
    if size == 1:
        return (left.pop(0),) if left and left[0].size == 1 else ()
    taken: list[Atom] = []
    while size > 1:
        while left and left[0].size == 1:
            left.pop(0)
        if not left:
            return None
        atom = left.pop(0)
        if size % atom.size == 0:
            taken.append(atom)
            size //= atom.size
        elif atom.size % size == 0:
            rest = atom.size // size
            taken.append(Atom(atom.axis, size, atom.inner * rest))
            left.insert(0, Atom(atom.axis, rest, atom.inner))
            size = 1
        else:
            return None
    return _joined(taken)


def _joined(atoms: Sequence[Atom]) -> Axis:
    """Neighbours that are parts of one axis, side by side, as one."""
    joined: list[Atom] = []
    for atom in atoms:
        last = joined[-1] if joined else None
        if last and last.axis == atom.axis and last.inner == atom.size * atom.inner:
            joined[-1] = Atom(atom.axis, last.size * atom.size, atom.inner)
        else:
            joined.append(atom)
    return tuple(joined)


class Steps(NamedTuple):
    """How to make a view out of its source, each step only where it is needed.

    Attributes:
        split: reshape to this first.
        order: then transpose.
        joined: then reshape to this.
        expanded: then repeat along axes of size 1.
    """

    split: Shape | None
    order: Shape | None
    joined: Shape | None
    expanded: Shape | None


def steps(view: View, source: Shape) -> Steps:
    """The fewest steps from the source to the view.

    Example:
        >>> steps(whole("x", (2, 3, 4)).transposed((0, 2, 1)), (2, 3, 4))
        Steps(split=None, order=(0, 2, 1), joined=None, expanded=None)
        >>> steps(whole("x", (2, 6)).reshaped((4, 3)), (2, 6))
        Steps(split=None, order=None, joined=(4, 3), expanded=None)
    """
    single = tuple(1 if not axis else size for axis, size in zip(view.axes, view.shape, strict=True))
    expanded = view.shape if single != view.shape else None
    moved = tuple(axis[0].axis for axis in view.axes if len(axis) == 1 and axis[0].size == source[axis[0].axis])
    if len(moved) == len(view.axes) == len(source) and len(set(moved)) == len(moved):
        return Steps(None, moved if moved != tuple(range(len(source))) else None, None, expanded)
    atoms = [a for axis in view.axes for a in axis if a.size > 1]
    in_source = sorted(atoms, key=lambda a: (a.axis, -a.inner))
    order = tuple(in_source.index(a) for a in atoms)
    if order == tuple(range(len(atoms))):
        return Steps(None, None, single if single != source else None, expanded)
    split = tuple(a.size for a in in_source)
    joined = single if single != tuple(a.size for a in atoms) else None
    return Steps(split if split != source else None, order, joined, expanded)
