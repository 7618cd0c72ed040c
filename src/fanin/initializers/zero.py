"""ZerO: a deterministic start from zeros and ones alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.initializers.base import Law, Target
from fanin.initializers.by_index import ByIndex, Indices, at_center, fixed_law


@dataclass(frozen=True)
class ZerO(ByIndex):
    """The identity where a layer keeps or lowers its width, a Hadamard matrix where it raises it; at a kernel's center.

    Outputs ≤ inputs: a partial identity. Else rows and columns of H/√p, H the Sylvester–Hadamard matrix of the power of
    two p ≥ outputs, `H_ij = (−1)^{bits that i and j share}`: the first column is not 0, so no output stays dead. The
    columns are orthonormal if p = outputs.

    Reference: Zhao, Schäfer & Anandkumar 2022, "ZerO Initialization", Algorithm 1 (matrices) and 2 (convolutions), with
    the factor 2^{−m/2}, p = 2^m, of the authors' code. The paper's residual branches end in zeros besides: Zeros.
    Not for: layers without normalisation or residual connections; grouped convolutions.

    Example:
        >>> ZerO().draw(Target("weight", (4, 2)), seed=0).reshape(4, 2)
        array([[ 0.5,  0.5],
               [ 0.5, -0.5],
               [ 0.5,  0.5],
               [ 0.5, -0.5]], dtype=float32)
    """

    def __str__(self) -> str:
        """Its name: in small letters it would read like zeros."""
        return "ZerO"

    def law(self, target: Target) -> Law:
        """Of all elements together."""
        if len(target.shape) < 2:
            raise BadInput(f"{self} needs a matrix or a kernel; {target.name!r} has shape {target.shape}. Use Zeros.")
        rows, columns, *kernel = target.shape
        if 0 in kernel or rows <= columns:
            ones = 0 if 0 in kernel else rows
            return fixed_law(ones, ones, target.size, 0.0, 1.0)
        unit = _unit(rows)
        total = unit * _sum(rows, columns, _power(rows))
        return fixed_law(total, rows * columns * unit**2, target.size, -unit, unit)

    def at(self, shape: tuple[int, ...], place: tuple[Indices, ...]) -> npt.NDArray[np.float64]:
        """From the bits of row and column."""
        row, column = place[:2]
        if shape[0] <= shape[1]:
            values = np.where(row == column, 1.0, 0.0)
        else:
            shared = row & column
            odd = np.zeros(len(row), dtype=np.int64)
            for bit in range(_power(shape[0]).bit_length()):
                odd ^= shared >> bit & 1
            values = _unit(shape[0]) * (1.0 - 2.0 * odd)
        return np.where(at_center(shape[2:], place), values, 0.0)


def _power(rows: int) -> int:
    """The power of two from `rows` on."""
    return 1 << (rows - 1).bit_length()


def _unit(rows: int) -> float:
    return math.sqrt(1 / _power(rows))


@lru_cache(maxsize=1024)
def _sum(rows: int, columns: int, p: int) -> int:
    """Σ of the first rows and columns of the Hadamard matrix of size p: its whole rows sum to p, 0, 0, …."""
    if not rows or not columns:
        return 0
    if p in (rows, columns):
        return p
    half = p // 2
    top, left, bottom, right = min(rows, half), min(columns, half), max(rows - half, 0), max(columns - half, 0)
    return _sum(top, left, half) + _sum(top, right, half) + _sum(bottom, left, half) - _sum(bottom, right, half)
