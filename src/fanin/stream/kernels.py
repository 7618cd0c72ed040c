"""The stream compiled for this machine's vector units: the same bits as the NumPy reference, a core's full speed.

Importing this module imports numba; `draw.py` does so when there is enough to draw. Each fill works through a tile
that fits in the first-level cache, in passes that LLVM vectorizes: words, integers of the law, values. No fastmath:
a product and a sum are rounded separately, as the stream is defined. A new format is one fill and its line in `FILLS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numba import njit

from fanin.stream.laws import NORMAL, TRUNCATED, UNIFORM
from fanin.stream.quantile import TABLE

BLOCKS: Final = 512  # of a tile: 2,048 words and as many float32 are 16 KiB, with 8 KiB of table

# numba compiles arrays of the module into the code as constants; passed as arguments they would hinder vectorization.
# Its cache notices changes of this file only: what is imported here is frozen.
_TABLE = TABLE
_I32, _U16, _U32, _U64, _F32, _F64 = np.int32, np.uint16, np.uint32, np.uint64, np.float32, np.float64


def _compiled(function: Callable[..., Any]) -> Any:
    """Compiled at the first call; kept in a cache on disk, or for this process alone where none can be written."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return njit(nogil=True)(function)


@njit(nogil=True)
def _words(k0, k1, c2, c3, block, count, tile):
    """Philox4x32-10 of `count` blocks, four words each."""
    for i in range(count):
        b = block + _U64(i)
        x0, x1, x2, x3 = _U32(b), _U32(b >> _U64(32)), c2, c3
        a0, a1 = k0, k1
        for _ in range(10):
            product_0, product_1 = _U64(x0) * _U64(0xD2511F53), _U64(x2) * _U64(0xCD9E8D57)
            x0, x2 = _U32(product_1 >> _U64(32)) ^ x1 ^ a0, _U32(product_0 >> _U64(32)) ^ x3 ^ a1
            x1, x3 = _U32(product_1), _U32(product_0)
            a0, a1 = _U32(a0 + _U32(0x9E3779B9)), _U32(a1 + _U32(0xBB67AE85))
        tile[4 * i] = x0
        tile[4 * i + 1] = x1
        tile[4 * i + 2] = x2
        tile[4 * i + 3] = x3


@njit(nogil=True)
def _to_uniform(words):
    for i in range(words.size):
        words[i] = _U32((_I32(words[i] ^ _U32(0x80000000)) >> _I32(7)) | _I32(1))


@njit(nogil=True)
def _to_window(words, first, within):
    for i in range(words.size):
        words[i] = first + _U32((_U64(words[i]) * within) >> _U64(32))


@njit(nogil=True)
def _to_normal(words, floats, patterns):
    """q32 of each word, in its place; `patterns` are the bits of `floats`."""
    for i in range(words.size):
        signed = _I32(words[i])
        floats[i] = _F32(((signed ^ (signed >> _I32(31))) & _I32(0x7FFFFFFF)) | _I32(1))
    for i in range(words.size):
        sign = _I32(words[i]) >> _I32(31)
        entry = _TABLE[(patterns[i] >> _U32(18)) - _U32(4064)]
        x = _I32(patterns[i] & _U32(0x3FFFF)) - _I32(131072)
        c0, c1 = _I32(entry >> _U64(34)), _I32((entry >> _U64(13)) & _U64(0x1FFFFF))
        slope = c1 - ((_I32(entry & _U64(0x1FFF)) * x) >> _I32(17))
        z = c0 - (((slope >> _I32(7)) * x + (((slope & _I32(127)) * x) >> _I32(7))) >> _I32(10))
        words[i] = _U32((z ^ ~sign) - ~sign)


@njit(nogil=True)
def _clamp(integers, lowest, highest):
    for i in range(integers.size):
        integers[i] = min(max(integers[i], lowest), highest)


@njit(nogil=True)
def _integers(key, block, law, blocks, words, floats):
    """Random words of `blocks` blocks, then the integers of the law, in `words`."""
    k0, k1, c2, c3 = key
    kind, first, within, lowest, highest = law
    _words(_U32(k0), _U32(k1), _U32(c2), _U32(c3), _U64(block), blocks, words)
    words = words[: 4 * blocks]
    if kind == UNIFORM:
        _to_uniform(words)
        return
    if kind == TRUNCATED:
        _to_window(words, _U32(first), _U64(within))
    _to_normal(words, floats, floats.view(np.uint32))
    if kind == TRUNCATED:
        _clamp(words.view(np.int32), _I32(lowest), _I32(highest))


@njit(nogil=True)
def _float32(integers, unit, shift, values):
    """`integer · unit + shift`, rounded after each operation; a shift of 0 is not added, as that turns −0 into 0."""
    factor, offset = _F32(unit), _F32(shift)
    if shift != 0.0:
        for i in range(integers.size):
            values[i] = _F32(integers[i]) * factor + offset
    else:
        for i in range(integers.size):
            values[i] = _F32(integers[i]) * factor


@njit(nogil=True)
def _float64(integers, unit, shift, values):
    if shift != 0.0:
        for i in range(integers.size):
            values[i] = _F64(integers[i]) * unit + shift
    else:
        for i in range(integers.size):
            values[i] = _F64(integers[i]) * unit


@njit(nogil=True)
def _to_bfloat16(patterns, values):
    """float32 patterns to bfloat16 ones, to nearest even; there is no NaN."""
    for i in range(values.size):
        bits = patterns[i]
        values[i] = _U16((bits + _U32(0x7FFF) + ((bits >> _U32(16)) & _U32(1))) >> _U32(16))


@njit(nogil=True)
def _to_float16(patterns, values):
    """float32 patterns to float16 ones, to nearest even; no value is beyond the largest float16."""
    for i in range(values.size):
        bits = patterns[i] & _U32(0x7FFFFFFF)
        normal = (bits + _U32(0xFFF) + ((bits >> _U32(13)) & _U32(1)) - _U32(112 << 23)) >> _U32(13)
        # Below 2^-14 the unit is 2^-24: the significand, in units of 2^(exponent − 150), moves right.
        right = min(max(_I32(126) - _I32(bits >> _U32(23)), _I32(1)), _I32(25))
        significand = (bits & _U32(0x7FFFFF)) | _U32(0x800000)
        tie_to_even = (_U32(1) << _U32(right - _I32(1))) - _U32(1) + ((significand >> _U32(right)) & _U32(1))
        subnormal = (significand + tie_to_even) >> _U32(right)
        magnitude = normal if bits >= _U32(113 << 23) else subnormal
        values[i] = _U16(((patterns[i] >> _U32(16)) & _U32(0x8000)) | magnitude)


@_compiled
def fill_words(k0, k1, c2, c3, block, lane, out):
    """The random words from lane `lane` of block `block` on."""
    words = np.empty(4 * BLOCKS, np.uint32)
    done = 0
    while done < out.size:
        size = min(4 * BLOCKS - lane, out.size - done)
        _words(_U32(k0), _U32(k1), _U32(c2), _U32(c3), _U64(block), (lane + size + 3) >> 2, words)
        for i in range(size):
            out[done + i] = words[lane + i]
        done, block, lane = done + size, block + BLOCKS, 0


@_compiled
def fill_float32(k0, k1, c2, c3, block, lane, kind, first, within, lowest, highest, unit, shift, out):
    """Values of a law, `integer · RN(unit) + RN(shift)`, from lane `lane` of block `block` on."""
    words, floats = np.empty(4 * BLOCKS, np.uint32), np.empty(4 * BLOCKS, np.float32)
    done = 0
    while done < out.size:
        size = min(4 * BLOCKS - lane, out.size - done)
        law = (kind, first, within, lowest, highest)
        _integers((k0, k1, c2, c3), block, law, (lane + size + 3) >> 2, words, floats)
        integers = words.view(np.int32)[lane : lane + size]
        _float32(integers, unit, shift, out[done : done + size])
        done, block, lane = done + size, block + BLOCKS, 0


@_compiled
def fill_float64(k0, k1, c2, c3, block, lane, kind, first, within, lowest, highest, unit, shift, out):
    """float64 values of a law, the product and the sum in float64."""
    words, floats = np.empty(4 * BLOCKS, np.uint32), np.empty(4 * BLOCKS, np.float32)
    done = 0
    while done < out.size:
        size = min(4 * BLOCKS - lane, out.size - done)
        law = (kind, first, within, lowest, highest)
        _integers((k0, k1, c2, c3), block, law, (lane + size + 3) >> 2, words, floats)
        integers = words.view(np.int32)[lane : lane + size]
        _float64(integers, unit, shift, out[done : done + size])
        done, block, lane = done + size, block + BLOCKS, 0


@_compiled
def fill_float16(k0, k1, c2, c3, block, lane, kind, first, within, lowest, highest, unit, shift, out):
    """float16 values of a law, as patterns: the float32 ones, rounded."""
    words, floats = np.empty(4 * BLOCKS, np.uint32), np.empty(4 * BLOCKS, np.float32)
    done = 0
    while done < out.size:
        size = min(4 * BLOCKS - lane, out.size - done)
        law = (kind, first, within, lowest, highest)
        _integers((k0, k1, c2, c3), block, law, (lane + size + 3) >> 2, words, floats)
        integers = words.view(np.int32)[lane : lane + size]
        _float32(integers, unit, shift, floats)
        _to_float16(floats.view(np.uint32), out[done : done + size])
        done, block, lane = done + size, block + BLOCKS, 0


@_compiled
def fill_bfloat16(k0, k1, c2, c3, block, lane, kind, first, within, lowest, highest, unit, shift, out):
    """bfloat16 values of a law, as patterns: the float32 ones, rounded."""
    words, floats = np.empty(4 * BLOCKS, np.uint32), np.empty(4 * BLOCKS, np.float32)
    done = 0
    while done < out.size:
        size = min(4 * BLOCKS - lane, out.size - done)
        law = (kind, first, within, lowest, highest)
        _integers((k0, k1, c2, c3), block, law, (lane + size + 3) >> 2, words, floats)
        integers = words.view(np.int32)[lane : lane + size]
        _float32(integers, unit, shift, floats)
        _to_bfloat16(floats.view(np.uint32), out[done : done + size])
        done, block, lane = done + size, block + BLOCKS, 0


FILLS: Final = {
    "words": fill_words,
    "float64": fill_float64,
    "float32": fill_float32,
    "float16": fill_float16,
    "bfloat16": fill_bfloat16,
}
"""By format; float16 and bfloat16 are written as uint16 patterns."""


def cached() -> bool:
    """Whether compiled code is kept for the next process."""
    return fill_words._cache.cache_path is not None


def compile_now(name: str) -> None:
    """Compile a fill for the types it is called with, or load it from the cache: by one call that draws nothing."""
    arguments = () if name == "words" else (NORMAL, 0, 0, 0, 0, 1.0, 0.0)
    stored = np.uint16 if name in {"float16", "bfloat16"} else np.uint32 if name == "words" else np.dtype(name)
    FILLS[name](0, 0, 0, 0, 0, 0, *arguments, np.empty(0, stored))
