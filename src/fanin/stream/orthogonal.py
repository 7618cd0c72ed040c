"""Haar-distributed orthogonal matrices from the stream: a product of Householder reflections.

Only elementwise float64 operations and one fixed summation tree: the bits depend on no BLAS, thread, or shard.
"""

from __future__ import annotations

import math
import operator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.stream.distributions import words
from fanin.stream.keys import Domain, key
from fanin.stream.quantile import q32

Matrix: TypeAlias = npt.NDArray[np.float64]
Reflection: TypeAlias = tuple[Matrix, float, float]

_CACHED_ENTRIES = 1 << 16  # of a block of columns, 512 KiB; columns are independent, so its width changes no bit


def orthogonal(seed: int, name: str, rows: int, columns: int, *, elements: range | None = None) -> Matrix:
    """A uniformly random (Haar) matrix with orthonormal columns, or with orthonormal rows if it is wider than tall.

    m = rows ≥ n = columns; x_k, k < n, is zero but for the normals k·m + k … k·m + m − 1 of the stream at k … m − 1:

    `Q = first n columns of H_0 H_1 … H_{n−1} D`, `H_k = I − 2 u_k u_kᵀ/|u_k|²`, `u_k = x_k + sign(x_kk) |x_k| e_k`,
    `D_kk = −sign(x_kk)`

    −sign(x_kk) H_k e_k = x_k/|x_k| is uniform on its sphere, hence D; without it Q_00 would never be positive.
    A wide matrix is the transpose of the tall one of the same name.

    Args:
        seed: an integer in [0, 2^128).
        name: the logical path of the parameter.
        rows: of the whole matrix, ≥ 1.
        columns: of the whole matrix, ≥ 1.
        elements: which rows to return, all if None; their bits are those they have in the whole.

    Returns:
        float64, shape (len(elements), columns).

    Raises:
        BadInput: the shape is not positive, or `elements` are not rows of the matrix.

    Example:
        >>> Q = orthogonal(0, "weight", 5, 3)
        >>> bool(abs(Q.T @ Q - np.eye(3)).max() < 1e-15), bool((orthogonal(0, "weight", 3, 5) == Q.T).all())
        (True, True)

    Reference: Stewart 1980, "The efficient generation of random orthogonal matrices"; Mezzadri 2007, "How to generate
    random matrices from the classical compact groups" (why the signs matter).

    Not for: thousands of rows and columns, where O(m n²) elementwise operations take minutes.
    """
    rows, columns = _positive("rows", rows), _positive("columns", columns)
    chosen = _checked_rows(elements, rows)
    m, n = max(rows, columns), min(rows, columns)
    gaussian = q32(words(key(seed, name, domain=Domain.ORTHOGONAL), range(m * n))).reshape(n, m).astype(np.float64)
    if rows < columns:
        return np.ascontiguousarray(haar_columns(gaussian, chosen).T)
    return haar_columns(gaussian, range(n))[np.arange(rows)[chosen.start : chosen.stop : chosen.step]]


def haar_columns(gaussian: Matrix, chosen: range) -> Matrix:
    """The chosen columns of Q, shape (m, len(chosen)), from the Gaussian rows x_k, shape (n, m).

    Column j is −sign(x_jj) H_0 … H_j e_j: the later reflections leave e_j where it is.
    """
    n, m = gaussian.shape
    reflections = [reflection(gaussian[k, k:]) for k in range(n)]
    result = np.empty((m, len(chosen)))
    width = max(1, _CACHED_ENTRIES // m)
    for start in range(0, len(chosen), width):
        piece = slice(start, start + width)
        result[:, piece] = _product(reflections, chosen[piece], m)
    return result


def _product(reflections: list[Reflection], chosen: range, m: int) -> Matrix:
    block = np.zeros((m, len(chosen)))
    for k in reversed(range(chosen[-1] + 1)):
        reflector, weight, sign = reflections[k]
        first = len(range(chosen.start, k, chosen.step))  # columns j < k are still 0 from row k on
        if chosen[first] == k:
            block[k, first] = -sign
        changed = block[k:, first:]
        changed -= reflector[:, None] * (weight * tree_sum(reflector[:, None] * changed))
    return block


def reflection(x: Matrix) -> Reflection:
    """(u, 2/|u|², s) with H = I − 2 u uᵀ/|u|² and H x = −s |x| e_0, s = sign(x_0): the sum in u_0 never cancels."""
    norm = math.sqrt(float(tree_sum(x * x)))
    if norm == 0.0:  # one word in 2^25, when x has a single entry: as for the smallest positive one
        return reflection(np.eye(1, len(x))[0])
    sign = math.copysign(1.0, x[0])
    reflector = x.copy()
    reflector[0] += sign * norm
    return reflector, 1.0 / (norm * (norm + abs(float(x[0])))), sign


def tree_sum(terms: Matrix) -> Matrix:
    """Sum over the first axis in one fixed order: add the upper half to the lower half, in place, until one is left.

    NumPy's own order of summation depends on the shape and layout of the array; elementwise additions have none.
    """
    while (count := len(terms)) > 1:
        half = (count + 1) // 2
        terms[: count - half] += terms[half:]
        terms = terms[:half]
    first: Matrix = terms[0]
    return first


def _positive(label: str, size: int) -> int:
    number = operator.index(size)
    if number < 1:
        raise BadInput(f"{label}: expected a size of at least 1, got {number}.")
    return number


def _checked_rows(elements: range | None, rows: int) -> range:
    if elements is None:
        return range(rows)
    if elements.step < 1 or (elements and not 0 <= elements[0] <= elements[-1] < rows):
        raise BadInput(f"elements: expected a forward range within the {rows} rows, got {elements}.")
    return elements
