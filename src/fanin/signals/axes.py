"""What the axes of a tensor count: samples, positions, features; carried through views.

An axis is a product of factors, since views merge and split axes: (batch, heads · width)
is seen as (batch, heads, width).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TypeAlias


class Kind(StrEnum):
    """What one factor of an axis counts."""

    SAMPLE = "sample"
    POSITION = "position"
    FEATURE = "feature"


Factor: TypeAlias = tuple[Kind, int]
Axis: TypeAlias = tuple[Factor, ...]  # slowest first; () for an axis of size 1
Axes: TypeAlias = tuple[Axis, ...]


def axis(kind: Kind, size: int) -> Axis:
    """An axis that counts one thing.

    Example:
        >>> axis(Kind.FEATURE, 64), axis(Kind.SAMPLE, 1)
        (((<Kind.FEATURE: 'feature'>, 64),), ())
    """
    return ((kind, size),) if size != 1 else ()


def axes_of(shape: Sequence[int], kinds: Sequence[Kind]) -> Axes:
    """One kind an axis."""
    return tuple(axis(kind, size) for kind, size in zip(kinds, shape, strict=True))


def usual(shape: Sequence[int]) -> Axes:
    """Of a model's input by its rank: (sample, feature), (sample, position, feature), (sample, feature, position, …).

    Example:
        >>> [str(a[0][0]) for a in usual((8, 3, 32, 32))]
        ['sample', 'feature', 'position', 'position']
    """
    sample, position, feature = Kind.SAMPLE, Kind.POSITION, Kind.FEATURE
    kinds = {
        0: (),
        1: (feature,),
        2: (sample, feature),
        3: (sample, position, feature),
    }.get(len(shape), (sample, feature, *[position] * (len(shape) - 2)))
    return axes_of(shape, kinds)


def shape_of(axes: Axes) -> tuple[int, ...]:
    """The sizes."""
    return tuple(size_of(a) for a in axes)


def size_of(of: Axis) -> int:
    """The product of the factors."""
    return math.prod(size for _, size in of)


def count(axes: Iterable[Axis], kind: Kind) -> int:
    """How many there are of a kind: samples, positions or features."""
    return math.prod(size for a in axes for k, size in a if k is kind)


def kinds_of(of: Axis) -> set[Kind]:
    """What an axis counts."""
    return {kind for kind, _ in of}


def reshaped(axes: Axes, shape: Sequence[int]) -> Axes | None:
    """The axes of a view in row-major order; None where a factor would have to be torn in uneven pieces.

    Example:
        >>> both = reshaped(usual((8, 10, 64)), (80, 4, 16))
        >>> [shape_of((a,))[0] for a in both], [[str(k) for k, _ in a] for a in both]
        ([80, 4, 16], [['sample', 'position'], ['feature'], ['feature']])
    """
    factors = [factor for a in axes for factor in a][::-1]
    if math.prod(shape) != math.prod(size for _, size in factors):
        return None
    out: list[Axis] = []
    for size in shape:
        taken: list[Factor] = []
        room = size
        while room > 1:
            kind, has = factors.pop()
            common = math.gcd(room, has)
            if common == has:
                taken.append((kind, has))
            elif common == room:
                taken.append((kind, room))
                factors.append((kind, has // room))
            else:
                return None
            room //= taken[-1][1]
        out.append(tuple(taken))
    return tuple(out)
