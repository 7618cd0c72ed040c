"""Values that follow from their place alone: the same under every seed and name."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.initializers.base import Initializer, Law, Structure, Target, all_elements, rounded
from fanin.stream import Elements
from fanin.stream.elements import index_array

Indices: TypeAlias = npt.NDArray[np.int64]
_PIECE = 1 << 18  # elements at a time: their indices stay in the cache


class ByIndex(Initializer):
    """Subclasses say the value `at` each place, in float64, and the law of all places together."""

    @abstractmethod
    def at(self, shape: tuple[int, ...], place: tuple[Indices, ...]) -> npt.NDArray[np.float64]:
        """The values at places given by one array of indices for each axis; the shape is one that `law` accepts."""

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """In float64, rounded once to the target's dtype; the seed plays no part."""
        self.law(target)  # raises where there is none
        values = [
            rounded(self.at(target.shape, _places(indices, target.shape)), target.dtype)
            for indices in pieces(all_elements(target, elements))
        ]
        return np.concatenate(values) if values else rounded(np.empty(0), target.dtype)


def _places(indices: Indices, shape: tuple[int, ...]) -> tuple[Indices, ...]:
    """The index along each axis; none for a scalar, where NumPy would refuse."""
    return np.unravel_index(indices, shape) if shape else ()


def fixed_law(total: float, squares: float, count: int, low: float, high: float) -> Law:
    """Of `count` values that do not vary from draw to draw, from their sum and their sum of squares."""
    mean = total / max(count, 1)
    variance = max(squares / max(count, 1) - mean**2, 0.0)
    return Law(mean, math.sqrt(variance), low, high, 3.0, True, Structure.FIXED)


def require_matrix(what: Initializer, target: Target) -> tuple[int, int]:
    """Rows and columns of a target with two axes, or an error that says what else to use."""
    if len(target.shape) != 2:
        raise BadInput(f"{what} needs a matrix; {target.name!r} has shape {target.shape}. For convolutions use Dirac.")
    return target.shape[0], target.shape[1]


def require_kernel(what: Initializer, target: Target) -> tuple[int, int, tuple[int, ...]]:
    """Outputs, inputs and kernel of a target with at least three axes, or an error that says what else to use."""
    if len(target.shape) < 3:
        raise BadInput(
            f"{what} needs the weight of a convolution, (out, in, *kernel); {target.name!r} has shape {target.shape}. "
            "For matrices use Identity or Orthogonal."
        )
    return target.shape[0], target.shape[1], target.shape[2:]


def at_center(kernel: tuple[int, ...], place: tuple[Indices, ...]) -> npt.NDArray[np.bool_]:
    """Which places are at the kernel's center, k // 2 along each axis."""
    here = np.ones(len(place[0]), dtype=bool)
    for size, index in zip(kernel, place[2:], strict=True):
        here &= index == size // 2
    return here


def pieces(elements: Elements) -> Iterator[Indices]:
    """The indices of elements, a piece at a time."""
    for begin in range(0, len(elements), _PIECE):
        yield index_array(elements[begin : begin + _PIECE])
