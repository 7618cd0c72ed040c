"""Haar-distributed orthogonal matrices from the stream: by compiled kernels when they are large, else by NumPy."""

from __future__ import annotations

import operator
from collections import Counter
from functools import lru_cache
from types import ModuleType
from typing import Final

import numpy as np

from fanin.errors import BadInput
from fanin.stream import reflections
from fanin.stream.draw import said_if_slow, start
from fanin.stream.elements import Elements, Runs, index_array
from fanin.stream.keys import Domain, Key, key
from fanin.stream.laws import FORMATS
from fanin.stream.reflections import Indices, Matrix

WORTH_COMPILING: Final = 1 << 28  # multiply-adds: NumPy does them while numba is imported

_by_numpy = Counter[str]()


def orthogonal(
    seed: int,
    name: str,
    rows: int,
    columns: int,
    *,
    only_rows: Elements | None = None,
    only_columns: Elements | None = None,
) -> Matrix:
    """A uniformly random (Haar) matrix with orthonormal rows, or with orthonormal columns if it is taller than wide.

    n = min(rows, columns), m = max(rows, columns); x_k, k < n, is zero but for the normals k·m + k … k·m + m − 1 of
    the stream at k … m − 1; and

    `Q = first n columns of H_0 H_1 … H_{n−1} D`, `H_k = I − 2 u_k u_kᵀ/|u_k|²`, `u_k = x_k + sign(x_kk) |x_k| e_k`,
    `D_kk = −sign(x_kk)`

    is the tall matrix; the square and the wide one are Qᵀ. −sign(x_kk) H_k e_k = x_k/|x_k| is uniform on its sphere,
    hence D; without it Q_00 would never be positive.

    A part has the bits that it has in the whole. Of a square or wide matrix, some rows cost as little as they are few,
    and so do some columns of a tall one. The other way round every vector is computed and then cut: a row of a tall
    matrix depends on all its reflections.

    Args:
        seed: an integer in [0, 2^128).
        name: the logical path of the parameter.
        rows: of the whole matrix, ≥ 1.
        columns: of the whole matrix, ≥ 1.
        only_rows: the rows to return, a range or an array of indices in any order; all if None.
        only_columns: the columns to return, likewise.

    Returns:
        float64, with orthonormal vectors to 1e-14, of the shape asked for. The work takes as much memory as the
        reflections, at most 8 m n bytes, and half of it for a square matrix.

    Raises:
        BadInput: the shape is not positive, or the matrix does not have those rows or columns.

    Example:
        >>> Q = orthogonal(0, "weight", 5, 3)
        >>> bool(abs(Q.T @ Q - np.eye(3)).max() < 1e-15), bool((orthogonal(0, "weight", 3, 5) == Q.T).all())
        (True, True)

    Reference: Stewart 1980, "The efficient generation of random orthogonal matrices"; Mezzadri 2007, "How to generate
    random matrices from the classical compact groups" (why the signs matter).

    Not for: more than some 16,000 rows and columns: a core takes 0.35 s for 2048 and 2.8 s for 4096, hence two cores
    a minute and a half for 16,384 (docs/stream.md). Ctrl-C ends a long computation within a second or so.
    """
    rows, columns = _positive("rows", rows), _positive("columns", columns)
    tall = rows > columns
    chosen_rows, chosen_columns = _chosen("only_rows", only_rows, rows), _chosen("only_columns", only_columns, columns)
    vectors, entries = (chosen_columns, chosen_rows) if tall else (chosen_rows, chosen_columns)
    result = np.empty((len(chosen_rows), len(chosen_columns)))
    if not result.size:
        return result
    ascending, places = np.unique(vectors, return_inverse=True)
    everything = slice(None) if (only_rows if tall else only_columns) is None else entries
    q = result if tall else result.T
    stream, m = key(seed, name, domain=Domain.ORTHOGONAL), max(rows, columns)
    engine = _engine(2 * m * int(ascending.sum() + len(ascending)))
    if np.array_equal(ascending, vectors):
        engine.haar_columns(stream, m, ascending, everything, q)
    else:
        distinct = np.empty((len(ascending), len(q))).T
        engine.haar_columns(stream, m, ascending, everything, distinct)
        q[:] = distinct[:, places]
    return result


def _engine(multiply_adds: int) -> ModuleType:
    """The kernels, once so much was computed without them that their start is worth the time; NumPy before."""
    _by_numpy["multiply-adds"] += multiply_adds
    return _compiled() if _by_numpy["multiply-adds"] >= WORTH_COMPILING else reflections


@lru_cache
def _compiled() -> ModuleType:
    if start(FORMATS["float64"]) is None:  # draws the normals, in blocks too short to start it themselves
        return reflections
    from fanin.stream import householder

    with said_if_slow(householder.cached()):
        householder.haar_columns(Key(0, 0, 0, 0), 1, np.zeros(1, np.intp), slice(None), np.empty((1, 1)))
    return householder


def _positive(label: str, size: int) -> int:
    number = operator.index(size)
    if number < 1:
        raise BadInput(f"{label}: expected a size of at least 1, got {number}.")
    return number


def _chosen(label: str, indices: Elements | None, size: int) -> Indices:
    if indices is None:
        return np.arange(size)
    array = index_array(indices) if isinstance(indices, (range, Runs)) else np.asarray(indices, dtype=np.intp)
    if array.ndim != 1 or (array.size and not 0 <= array.min() <= array.max() < size):
        raise BadInput(f"{label}: expected indices from 0 to {size - 1}, got {indices}.")
    return array
