"""Orthogonal weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput, UnknownName
from fanin.initializers.base import (
    Initializer,
    Law,
    Structure,
    Target,
    all_elements,
    require_non_negative,
    rounded,
)
from fanin.stream import Domain, Elements, key, normal, orthogonal
from fanin.stream.elements import index_array

METHODS: Final = ("householder", "qr")


@dataclass(frozen=True)
class Orthogonal(Initializer):
    """gain · Q with Q Haar-distributed: orthonormal columns if there are more rows than columns, else orthonormal rows.

    Axes after the first are flattened into columns, as every framework does. Each element has variance
    gain² / max(rows, columns); a square Q keeps every norm exactly, forward and backward.

    With method "householder", elements have the same bits on every machine and in every shard. Some rows of a square
    or wide matrix, and some columns of a tall one, are computed alone; for other parts the whole is computed and cut.

    Method "qr" is the QR decomposition of LAPACK on a Gaussian matrix of the stream, with the signs that make it Haar:
    another matrix of the same law. **Its bits are not promised**: they change with the build of NumPy, the machine, and
    the number of threads, so that shards drawn on different machines may not fit together to the last digits; and every
    shard computes the whole.

    Args:
        gain: factor of Q, ≥ 0.
        method: "householder" or "qr".

    Raises:
        BadInput: gain is negative or not finite; later, the target is a vector.
        UnknownName: there is no such method.

    Reference: Saxe et al. 2014; Haar measure from Householder reflections, Stewart 1980; from QR, Mezzadri 2007.
    Not for: vectors, or convolutions that should be isometries as a whole; matrices of more than some 16,000 rows and
    columns, which take minutes by either method. On the machine of docs/stream.md, "qr" took 3.7 times as long as
    "householder" for 2048 × 2048: ask for it where LAPACK is better than that, or where numba cannot run.

    Example:
        >>> w = Orthogonal().draw(Target("weight", (3, 3), "float64"), seed=0).reshape(3, 3)
        >>> bool(np.allclose(w @ w.T, np.eye(3)))
        True
    """

    gain: float = 1.0
    method: str = "householder"

    def __post_init__(self) -> None:
        require_non_negative(self, ["gain"])
        if self.method not in METHODS:
            raise UnknownName("method", self.method, METHODS)

    def law(self, target: Target) -> Law:
        """Elements are not independent: the law is that of one."""
        rows, columns = self._matrix(target)
        return Law(
            0.0, self.gain / math.sqrt(max(rows, columns, 1)), -self.gain, self.gain, 3.0, True, Structure.ORTHOGONAL
        )

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """In float64, rounded once to the target's dtype."""
        rows, columns = self._matrix(target)
        chosen = all_elements(target, elements)
        if not len(chosen):
            return rounded(np.empty(0), target.dtype)
        if self.method == "qr":
            q = by_qr(seed, target.name, rows, columns).reshape(-1)
            values = q if elements is None else q[index_array(chosen)]
        elif elements is None:
            values = orthogonal(seed, target.name, rows, columns).reshape(-1)
        else:
            row, column = np.divmod(index_array(chosen), columns)
            only_rows, row = _distinct(row, rows)
            only_columns, column = _distinct(column, columns)
            part = orthogonal(seed, target.name, rows, columns, only_rows=only_rows, only_columns=only_columns)
            values = part[row, column]
        if self.gain != 1.0:  # to multiply by 1 changes no bit and takes a fiftieth of the time
            values *= self.gain
        return rounded(values, target.dtype)

    def _matrix(self, target: Target) -> tuple[int, int]:
        if len(target.shape) < 2:
            raise BadInput(
                f"{self} needs a matrix; {target.name!r} has shape {target.shape}. Use Normal or Uniform for vectors."
            )
        return target.shape[0], math.prod(target.shape[1:])


def by_qr(seed: int, name: str, rows: int, columns: int) -> npt.NDArray[np.float64]:
    """Q of the QR decomposition whose R has a positive diagonal, of a Gaussian matrix; the transpose where it is wide.

    Example:
        >>> q = by_qr(0, "weight", 4, 3)
        >>> bool(np.allclose(q.T @ q, np.eye(3)))
        True

    Reference: Mezzadri 2007: LAPACK's own signs would not give the Haar law.
    """
    n, m = sorted((rows, columns))
    gaussian = normal(key(seed, name, domain=Domain.ORTHOGONAL), range(m * n), 1.0, dtype="float64").reshape(m, n)
    q, r = np.linalg.qr(gaussian)
    q *= np.copysign(1.0, np.diagonal(r))
    return q if rows > columns else np.ascontiguousarray(q.T)


def _distinct(indices: npt.NDArray[np.intp], size: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The distinct indices, ascending, and the place of each index among them."""
    present = np.zeros(size, dtype=bool)
    present[indices] = True
    places = np.cumsum(present) - 1
    return np.flatnonzero(present), places[indices]
