"""Householder reflections of stream vectors, a block at a time: the definition, in NumPy.

Every number is a sum of float64 products in one written order, so no BLAS, thread, shard or vector unit changes a bit:
`total` adds the rows of a panel one after the other, then the panels. `householder.py` is the same for the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fanin.stream.distributions import normal
from fanin.stream.keys import Key

Matrix: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.intp]

BLOCK: Final = 32  # reflections applied at once
PANEL: Final = 256  # rows summed one after the other
_HELD: Final = 1 << 22  # entries of the columns worked on at a time


class Block(NamedTuple):
    """Reflections k = first … first + b − 1, on the rows from `first` on.

    Attributes:
        reflectors: u_k, shape (m − first, b); 0 above the diagonal.
        products: u_kᵀu_l, shape (b, b).
        weights: 2/|u_k|².
        signs: of x_kk.
    """

    first: int
    reflectors: Matrix
    products: Matrix
    weights: Matrix
    signs: Matrix


def reflections(key: Key, m: int, first: int, count: int) -> Block:
    """H_k = I − 2 u_k u_kᵀ/|u_k|² for k = first … first + count − 1, with H_k x_k = −sign(x_kk) |x_k| e_k.

    x_k is zero but for the normals k·m + k … k·m + m − 1 of the stream at k … m − 1. u_k = x_k + sign(x_kk) |x_k| e_k:
    that sum never cancels.
    """
    x = gaussians(key, m, first, count)[:, first:].T.copy()
    x[np.triu_indices(count, 1)] = 0.0
    norms = np.sqrt(total(x, x, np.multiply))
    diagonal = x[np.arange(count), np.arange(count)]
    diagonal[norms == 0.0] = norms[norms == 0.0] = 1.0  # a single entry may be 0: taken for a positive one
    signs = np.copysign(1.0, diagonal)
    x[np.arange(count), np.arange(count)] = diagonal + signs * norms
    return Block(first, x, total(x, x, _all_pairs), 1.0 / (norms * (norms + np.abs(diagonal))), signs)


def apply(block: Block, columns: Matrix) -> None:
    """`columns ← H_first … H_{first+b−1} columns` in place, given as many rows as the reflectors have.

    With v_k = u_kᵀc, going down: w_k = (2/|u_k|²)(v_k − Σ_{l>k} u_kᵀu_l w_l), l ascending; then c − Σ_k w_k u_k, k
    ascending: the product of the reflections in compact form (Joffrain, Low, Quintana-Ortí and others 2006).
    """
    w = total(block.reflectors, columns, _all_pairs)
    for k in reversed(range(len(w))):
        for later in range(k + 1, len(w)):
            w[k] -= block.products[k, later] * w[later]
        w[k] *= block.weights[k]
    for start in range(0, len(columns), PANEL):  # a panel stays in cache
        panel = slice(start, start + PANEL)
        for k in range(len(w)):
            columns[panel] -= block.reflectors[panel, k, None] * w[k]


def gaussians(key: Key, m: int, first: int, count: int) -> Matrix:
    """Vectors `first` … `first + count − 1` of m normals each, as rows, in units of 2^-27: integers."""
    return np.asarray(normal(key, range(first * m, (first + count) * m), 2.0**27, dtype="float64")).reshape(count, m)


def total(a: Matrix, b: Matrix, product: Callable[[Matrix, Matrix], Matrix]) -> Matrix:
    """Σ_i product(a_i, b_i) over rows i, in panels of `PANEL` rows: ascending in a panel, then panel by panel."""
    result = np.zeros_like(product(a[0], b[0]))
    for start in range(0, len(a), PANEL):
        panel = np.zeros_like(result)
        for i in range(start, min(start + PANEL, len(a))):
            panel += product(a[i], b[i])
        result += panel
    return result


def _all_pairs(a: Matrix, b: Matrix) -> Matrix:
    return a[:, None] * b


def haar_columns(key: Key, m: int, columns: Indices, rows: slice | Indices, out: Matrix) -> None:
    """`out[:, i] ← −sign(x_jj) H_0 … H_j e_j` at the chosen rows, j = columns[i], ascending: Stewart's columns.

    Whatever other columns are computed, these have the same bits: H_k with k > j meets only zeros in e_j.
    """
    count = int(columns[-1]) + 1
    blocks = [reflections(key, m, first, min(BLOCK, count - first)) for first in range(0, count, BLOCK)]
    signs = np.concatenate([block.signs for block in blocks])
    width = max(1, _HELD // m)
    for start in range(0, len(columns), width):
        chosen = columns[start : start + width]
        tile = np.zeros((m, len(chosen)))
        tile[chosen, np.arange(len(chosen))] = -signs[chosen]
        for block in reversed(blocks):
            lane = np.searchsorted(chosen, block.first)
            apply(block, tile[block.first :, lane:])
        out[:, start : start + width] = tile[rows]
