"""The reflections of `reflections.py` compiled for this machine's vector units: the same bits, close to its peak.

Importing this module imports numba; `orthogonal.py` does so when there is enough to compute. Lanes of the vector units
are columns, each with sums of its own in the written order, so nothing is reassociated; no fastmath, so no product
is fused with a sum. A tile of columns meets all its reflections while it stays in the second-level cache.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any, Final

import numpy as np
from numba import njit

from fanin.stream.keys import Key
from fanin.stream.parallel import for_each
from fanin.stream.reflections import BLOCK, PANEL, Indices, Matrix, gaussians

LANES: Final = BLOCK  # columns of a tile; a block of reflectors is one
_U64 = np.uint64
_UNROLLED: Final = 4  # rows are padded with zeros to a multiple of it: adding 0 · 0 changes no sum
_WORK: Final = 1 << 31  # multiply-adds of one call, a fifth of a second: between calls, Python sees Ctrl-C


def _compiled(function: Callable[..., Any]) -> Any:
    """Compiled at the first call; kept in a cache on disk, or for this process alone where none can be written."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return njit(nogil=True)(function)


@njit(nogil=True)
def _four(a, at, step):
    return a[at], a[at + step], a[at + _U64(2) * step], a[at + _U64(3) * step]


@njit(nogil=True)
def _add_products(out, o, source, s, a, b, c, d):
    """`out[r] += a[r] source[0]`, then `b[r] source[1]`, c, d: four rows of LANES columns each, from o and s on.

    Two rows at a time, so that their eight factors stay in registers, of which AVX2 has sixteen.
    """
    a0, a1, a2, a3 = a
    b0, b1, b2, b3 = b
    c0, c1, c2, c3 = c
    d0, d1, d2, d3 = d
    o1, o2, o3 = o + _U64(LANES), o + _U64(2 * LANES), o + _U64(3 * LANES)
    s1, s2, s3 = s + _U64(LANES), s + _U64(2 * LANES), s + _U64(3 * LANES)
    for lane in range(LANES):
        x = _U64(lane)
        r0, r1, r2, r3 = source[s + x], source[s1 + x], source[s2 + x], source[s3 + x]
        out[o + x] = (((out[o + x] + a0 * r0) + b0 * r1) + c0 * r2) + d0 * r3
        out[o1 + x] = (((out[o1 + x] + a1 * r0) + b1 * r1) + c1 * r2) + d1 * r3
    for lane in range(LANES):
        x = _U64(lane)
        r0, r1, r2, r3 = source[s + x], source[s1 + x], source[s2 + x], source[s3 + x]
        out[o2 + x] = (((out[o2 + x] + a2 * r0) + b2 * r1) + c2 * r2) + d2 * r3
        out[o3 + x] = (((out[o3 + x] + a3 * r0) + b3 * r1) + c3 * r2) + d3 * r3


@njit(nogil=True)
def _dots(u, columns, panel, dots):
    """u_kᵀc of every reflector and every column."""
    dots[:] = 0.0
    rows = columns.size // LANES
    for start in range(0, rows, PANEL):
        panel[:] = 0.0
        for i in range(start, min(start + PANEL, rows), 4):
            at, s = _U64(i * BLOCK), _U64(i * LANES)
            for k in range(0, BLOCK, 4):
                a = _four(u, at + _U64(k), _U64(1))
                b = _four(u, at + _U64(BLOCK + k), _U64(1))
                c = _four(u, at + _U64(2 * BLOCK + k), _U64(1))
                d = _four(u, at + _U64(3 * BLOCK + k), _U64(1))
                _add_products(panel, _U64(k * LANES), columns, s, a, b, c, d)
        for x in range(dots.size):
            dots[x] += panel[x]


@njit(nogil=True)
def _reflect(u, products, weights, columns, panel, w):
    """`apply` of the reference; `w` holds −w_k, since c + u(−w) is c − u w to the bit."""
    _dots(u, columns, panel, w)
    for k in range(BLOCK - 1, -1, -1):
        row = w[k * LANES : (k + 1) * LANES]
        for later in range(k + 1, BLOCK):
            product, other = products[k * BLOCK + later], w[later * LANES : (later + 1) * LANES]
            for x in range(LANES):
                row[x] += product * other[x]
        for x in range(LANES):
            row[x] *= -weights[k]
    for i in range(0, columns.size // LANES, 4):
        at, o = _U64(i * BLOCK), _U64(i * LANES)
        for k in range(0, BLOCK, 4):
            a = _four(u, at + _U64(k), _U64(BLOCK))
            b = _four(u, at + _U64(k + 1), _U64(BLOCK))
            c = _four(u, at + _U64(k + 2), _U64(BLOCK))
            d = _four(u, at + _U64(k + 3), _U64(BLOCK))
            _add_products(columns, o, w, _U64(k * LANES), a, b, c, d)


@_compiled
def fill_block(z, first, u, products, weights, signs):
    """`reflections` of the reference, from its Gaussian rows; unused reflections are 0, with weight 0."""
    count, m = z.shape
    rows = u.size // BLOCK
    u[:] = 0.0
    for start in range(0, m - first, 64):  # a transposition through the cache
        for k in range(count):
            for i in range(max(k, start), min(start + 64, m - first)):
                u[i * BLOCK + k] = z[k, first + i]
    norms, panel = np.zeros(BLOCK), np.empty(BLOCK)
    for start in range(0, rows, PANEL):
        panel[:] = 0.0
        for i in range(start, min(start + PANEL, rows)):
            for k in range(BLOCK):
                panel[k] += u[i * BLOCK + k] * u[i * BLOCK + k]
        for k in range(BLOCK):
            norms[k] += panel[k]
    weights[:] = 0.0
    panel_of_pairs = np.empty(BLOCK * BLOCK)
    for k in range(count):
        norm = np.sqrt(norms[k])
        diagonal = u[k * BLOCK + k]
        if norm == 0.0:
            norm = diagonal = 1.0
        signs[k] = np.copysign(1.0, diagonal)
        u[k * BLOCK + k] = diagonal + signs[k] * norm
        weights[k] = 1.0 / (norm * (norm + abs(diagonal)))
    _dots(u, u, panel_of_pairs, products)


@_compiled
def reflect_tile(u, products, weights, rows, first, last, columns):
    """Blocks `last` down to `first` on a tile of LANES columns of that many rows."""
    panel, w = np.empty(BLOCK * LANES), np.empty(BLOCK * LANES)
    for block in range(last, first - 1, -1):
        start = block * BLOCK
        at = BLOCK * (block * rows - BLOCK * (block * (block - 1) // 2))
        end = at + BLOCK * (rows - start)
        gram = products[block * BLOCK * BLOCK : (block + 1) * BLOCK * BLOCK]
        _reflect(u[at:end], gram, weights[start : start + BLOCK], columns[start * LANES :], panel, w)


def haar_columns(key: Key, m: int, columns: Indices, rows: slice | Indices, out: Matrix) -> None:
    """That of the reference, on every core: each takes a tile of columns through all its reflections."""
    count = int(columns[-1]) + 1
    height = -(-m // _UNROLLED) * _UNROLLED
    starts = range(0, count, BLOCK)
    sizes = [BLOCK * (height - start) for start in starts]
    u = _aligned(sum(sizes))
    products, weights, signs = _aligned(len(starts) * BLOCK * BLOCK), np.empty(len(starts) * BLOCK), np.empty(count)
    ends = list(accumulate(sizes))

    def prepare(block: int) -> None:
        first = block * BLOCK
        piece = slice(first, min(first + BLOCK, count))
        fill_block(
            gaussians(key, m, first, piece.stop - first),
            first,
            u[ends[block] - sizes[block] : ends[block]],
            products[first * BLOCK : (first + BLOCK) * BLOCK],
            weights[first : first + BLOCK],
            signs[piece],
        )

    def compute(start: int) -> None:
        chosen = columns[start : start + LANES]
        tile = _aligned(height * LANES)
        square = tile.reshape(height, LANES)
        square[:] = 0.0
        square[chosen, np.arange(len(chosen))] = -signs[chosen]
        blocks = max(1, _WORK // (tile.size * BLOCK))
        for last in range(int(chosen[-1]) // BLOCK, -1, -blocks):
            reflect_tile(u, products, weights, height, max(0, last - blocks + 1), last, tile)
        out[:, start : start + LANES] = square[:m][rows, : len(chosen)]

    for_each(prepare, range(len(starts)))
    for_each(compute, range(0, len(columns), LANES)[::-1])  # the later, the longer


def _aligned(size: int) -> Matrix:
    """Uninitialized float64 from the start of a cache line on: vectors that cross lines are slow to load."""
    bytes_ = np.empty(8 * size + 64, np.uint8)
    start = -bytes_.ctypes.data % 64
    return bytes_[start : start + 8 * size].view(np.float64)


def cached() -> bool:
    """Whether compiled code is kept for the next process."""
    return reflect_tile._cache.cache_path is not None
