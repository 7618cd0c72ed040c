"""Where values go: an array that exists, of any strides, in rectangles that a temporary of bounded size can hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.stream.elements import Runs
from fanin.stream.laws import Values

TILE: Final = 1 << 16  # elements of a rectangle, drawn into a temporary and copied from there
SIDE: Final = 1 << 8  # of a square one


Listed: TypeAlias = Runs | npt.NDArray[np.integer[Any]]


class Tile(NamedTuple):
    """A part of a destination, for the elements from `position` on, in row-major order."""

    elements: Listed
    position: int
    target: Values


def checked(out: Values, count: int, stored: np.dtype[Any]) -> Values:
    """`out` as a plain array, if so many values can be written into it, each in a place of its own.

    Raises:
        BadInput: it is no array, of another type, byte order or size, read-only, or elements of it may share memory.
    """
    if not isinstance(out, np.ndarray) or out.size != count or out.dtype != stored:
        got = f"{out.dtype} of shape {out.shape}" if isinstance(out, np.ndarray) else repr(out)
        raise BadInput(f"out: expected an array of {stored} with {count} elements, got {got}.")
    if not out.flags.writeable:
        raise BadInput("out: expected an array that can be written, got one that is read-only.")
    if not out.flags.c_contiguous and may_overlap(out):
        raise BadInput(
            f"out: expected elements that each have a place of their own, got shape {out.shape} with strides "
            f"{out.strides}. Give the array that it is a view of, or a copy."
        )
    return out.view(np.ndarray)


def may_overlap(out: Values) -> bool:
    """Whether an axis steps into what the axes of smaller steps span: elements share memory, or interleave."""
    span = out.itemsize
    for stride, size in sorted((abs(stride), size) for stride, size in zip(out.strides, out.shape, strict=True)):
        if size > 1:
            if stride < span:
                return True
            span += stride * (size - 1)
    return False


def tiles(out: Values, elements: Listed, position: int = 0) -> Iterator[Tile]:
    """The destination in pieces of at most `TILE` elements.

    A matrix that lies transposed in memory is cut into blocks, so that what is copied lies together on both sides.
    """
    if out.ndim == 0:
        out = out.reshape(1)
    rows, width = len(out), out.size // len(out)
    transposed = out.ndim == 2 and abs(out.strides[0]) < abs(out.strides[1])
    if transposed and isinstance(elements, Runs) and (elements.count == 1 or elements.length == width):
        step = width if elements.count == 1 else elements.step
        first = elements.start + position // width * step + position % width
        across = min(width, TILE // min(rows, SIDE))
        down = TILE // across
        for i in range(0, rows, down):
            for j in range(0, width, across):
                target = out[i : i + down, j : j + across]
                yield Tile(Runs(first + i * step + j, step, *target.shape), 0, target)
    elif width > TILE:
        for i in range(rows):
            yield from tiles(out[i], elements, position + i * width)
    else:
        height = TILE // width
        for i in range(0, rows, height):
            yield Tile(elements, position + i * width, out[i : i + height])
