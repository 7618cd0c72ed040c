"""Which word: element index → 32 random bits, by Philox4x32-10.

Element e is lane e & 3 of block e >> 2; a block is a function of its number and of the key, and of nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fanin.stream.elements import Elements
from fanin.stream.keys import Key

Words: TypeAlias = npt.NDArray[np.uint32]

_Counters: TypeAlias = npt.NDArray[np.uint64]

# Salmon et al. 2011: the two multipliers, and the Weyl increments of the key.
_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL_0, _WEYL_1 = 0x9E3779B9, 0xBB67AE85
_LOW_32, _SHIFT_32 = np.uint64(0xFFFFFFFF), np.uint64(32)

_CHUNK = 1 << 15  # words at a time: the 64-bit temporaries of 2^13 blocks stay in a 1 MiB cache


def map_words(key: Key, elements: Elements, law: Callable[[Words], npt.NDArray[Any]], out: npt.NDArray[Any]) -> None:
    """`law(words of elements)`, elementwise, into `out`; a chunk at a time, so that temporaries stay in cache."""
    indices, values = elements.ravel() if isinstance(elements, np.ndarray) else elements, out.reshape(-1)
    for start in range(0, values.size, _CHUNK):
        piece = slice(start, start + _CHUNK)
        values[piece] = law(_chunk_words(key, indices[piece]))


def philox4x32_10(key: tuple[int, int], counter: tuple[_Counters, _Counters, _Counters, _Counters]) -> Words:
    """Ten rounds on n counters; the four output words of each, as an array of shape (n, 4)."""
    k0, k1 = key
    x0, x1, x2, x3 = (word.copy() for word in counter)  # 32-bit values in 64 bits: a product keeps its upper half
    product_0, product_1 = np.empty_like(x0), np.empty_like(x2)
    for _ in range(10):  # in place: new arrays in each round can cost as much as the arithmetic
        np.multiply(x0, _MULTIPLIER_0, out=product_0)
        np.multiply(x2, _MULTIPLIER_1, out=product_1)
        np.right_shift(product_1, _SHIFT_32, out=x0)
        np.right_shift(product_0, _SHIFT_32, out=x2)
        x0 ^= x1
        x0 ^= np.uint64(k0)
        x2 ^= x3
        x2 ^= np.uint64(k1)
        np.bitwise_and(product_1, _LOW_32, out=x1)
        np.bitwise_and(product_0, _LOW_32, out=x3)
        k0, k1 = (k0 + _WEYL_0) & 0xFFFFFFFF, (k1 + _WEYL_1) & 0xFFFFFFFF
    lanes = np.empty((len(x0), 4), np.uint32)
    for lane, word in enumerate((x0, x1, x2, x3)):
        lanes[:, lane] = word
    return lanes


def _chunk_words(key: Key, elements: range | npt.NDArray[np.integer[Any]]) -> Words:
    if isinstance(elements, range) and elements.step == 1:
        first, last = elements[0] >> 2, elements[-1] >> 2
        lanes = _block_words(key, np.uint64(first) + np.arange(last - first + 1, dtype=np.uint64))
        return lanes.ravel()[elements[0] & 3 :][: len(elements)]
    indices = _as_array(elements)
    lane = (indices & np.uint64(3)).astype(np.intp)
    return _block_words(key, indices >> np.uint64(2))[np.arange(len(indices)), lane]


def _block_words(key: Key, blocks: _Counters) -> Words:
    upper = (np.full_like(blocks, key.c2), np.full_like(blocks, key.c3))
    return philox4x32_10((key.k0, key.k1), (blocks & _LOW_32, blocks >> _SHIFT_32, *upper))


def _as_array(elements: range | npt.NDArray[np.integer[Any]]) -> _Counters:
    if isinstance(elements, range):  # a step of 2^64 or more has one element: modulo 2^64 is exact
        return np.uint64(elements[0]) + np.arange(len(elements), dtype=np.uint64) * np.uint64(elements.step % 2**64)
    return elements.astype(np.uint64)
