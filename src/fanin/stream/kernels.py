"""The stream compiled for this machine's vector units: the same bits as the NumPy reference, a core's full speed.

Importing this module imports numba; `draw.py` does so when there is enough to draw. `fill` works through tiles that
fit in the first-level cache, in passes that LLVM vectorizes: blocks, words, integers of the law, values. No fastmath:
a product and a sum are rounded separately, as the stream is defined. A new format is a line of `_store`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numba import njit, typeof, types
from numba.extending import overload

from fanin.stream.laws import BITS, FORMATS, NORMAL, TRUNCATED, UNIFORM, Format
from fanin.stream.quantile import TABLE

BLOCKS: Final = 512  # of a tile: 2,048 words and as many float32 are 16 KiB, with 8 KiB of table
SHORT: Final = 192  # a run of fewer elements shares its tile with others

# numba compiles arrays of the module into the code as constants; passed as arguments they would hinder vectorization.
# Its cache notices changes of this file only: what is imported here is frozen.
_HIGH, _LOW = (TABLE >> np.uint64(32)).astype(np.uint32), TABLE.astype(np.uint32)  # two loads of half the width
_BFLOAT16, _FLOAT16, _E4M3FN = (FORMATS[name].code for name in ("bfloat16", "float16", "float8_e4m3fn"))
_I32, _I64, _U8, _U16, _U32, _U64 = np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64
_F32, _F64 = np.float32, np.float64


def _compiled(function: Callable[..., Any]) -> Any:
    """Compiled at the first call; kept in a cache on disk, or for this process alone where none can be written."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return njit(nogil=True)(function)


@njit(nogil=True)
def _words(key, blocks, tile):
    """Philox4x32-10 of the blocks, four words each."""
    k0, k1, c2, c3 = _U32(key[0]), _U32(key[1]), _U32(key[2]), _U32(key[3])
    for i in range(blocks.size):
        x0, x1, x2, x3 = _U32(blocks[i]), _U32(blocks[i] >> _U64(32)), c2, c3
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
def _count_up(first, blocks):
    for i in range(blocks.size):
        blocks[i] = first + _U64(i)


@njit(nogil=True)
def _list_runs(element, left, gap, length, room, blocks, places):
    """The blocks of short runs from `element` on, and where each element's word will stand among their words.

    `left` elements of the first run are left, and `gap` lies between the end of a run and the start of the next. Ends
    with the blocks that there is place for, or after `room` elements. Returns how many blocks, and how many elements.
    """
    used, done = 0, 0
    while done < room:
        lane = _I64(element & _U64(3))
        size = min(left, room - done, 4 * (BLOCKS - used) - lane)
        if size <= 0:
            break
        needed = (lane + size + 3) >> 2
        _count_up(element >> _U64(2), blocks[used : used + needed])
        for i in range(size):
            places[done + i] = 4 * used + lane + i
        used, done, left = used + needed, done + size, length
        element += _U64(size) + gap
    return used, done


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
    """q32 of each word, in its place; `patterns` are the bits of `floats`.

    Each step is cut to 32 bits, of which vector units hold twice as many: numba widens what it adds and multiplies.
    """
    for i in range(words.size):
        signed = _I32(words[i])
        floats[i] = _F32(_I32(((signed ^ _I32(signed >> _I32(31))) & _I32(0x7FFFFFFF)) | _I32(1)))
    for i in range(words.size):
        sign = _I32(_I32(words[i]) >> _I32(31))
        place = _U32(patterns[i] >> _U32(18)) - _U32(4064)
        x = _I32(_I32(patterns[i] & _U32(0x3FFFF)) - _I32(131072))
        high, low = _HIGH[place], _LOW[place]
        c0, c1 = _I32(high >> _U32(2)), _I32(_U32(_U32(high & _U32(3)) << _U32(19)) | _U32(low >> _U32(13)))
        slope = _I32(c1 - _I32(_I32(_I32(low & _U32(0x1FFF)) * x) >> _I32(17)))
        coarse, fine = _I32(_I32(slope >> _I32(7)) * x), _I32(_I32(_I32(slope & _I32(127)) * x) >> _I32(7))
        z = _I32(c0 - _I32(_I32(coarse + fine) >> _I32(10)))
        words[i] = _U32(_I32(z ^ ~sign) - ~sign)


@njit(nogil=True)
def _clamp(integers, lowest, highest):
    for i in range(integers.size):
        integers[i] = min(max(integers[i], lowest), highest)


@njit(nogil=True)
def _to_integers(law, words, floats):
    """The integers of the law, in the place of the words."""
    kind, first, within, lowest, highest, _, _ = law
    if kind == UNIFORM:
        _to_uniform(words)
    elif kind != BITS:
        if kind == TRUNCATED:
            _to_window(words, _U32(first), _U64(within))
        _to_normal(words, floats, floats.view(np.uint32))
        if kind == TRUNCATED:
            _clamp(words.view(np.int32), _I32(lowest), _I32(highest))


@njit(nogil=True)
def _scale(integers, factor, offset, shifted, values):
    """`integer · factor + offset`, rounded after each operation; a shift of 0 is not added: −0 would become 0."""
    if shifted:
        for i in range(integers.size):
            values[i] = type(factor)(integers[i]) * factor + offset
    else:
        for i in range(integers.size):
            values[i] = type(factor)(integers[i]) * factor


@njit(nogil=True)
def _to_bfloat16(patterns, values):
    """float32 patterns to bfloat16 ones, to nearest even; there is no NaN."""
    for i in range(values.size):
        bits = patterns[i]
        values[i] = _U16((bits + _U32(0x7FFF) + ((bits >> _U32(16)) & _U32(1))) >> _U32(16))


@njit(nogil=True)
def _to_small_float(patterns, fraction, bias, values):
    """float32 patterns to those of a format with so many bits of fraction, to nearest even; none is too large for it.

    Below 2^(1 − bias) its unit is 2^(1 − bias − fraction): the significand, in units of 2^(e − 150), moves right.
    """
    cut, sign = _U32(23 - fraction), _U32(8 * values.itemsize - 1)
    half, lower = (_U32(1) << (cut - _U32(1))) - _U32(1), _U32(127 - bias) << _U32(23)
    for i in range(values.size):
        bits = patterns[i] & _U32(0x7FFFFFFF)
        normal = (bits + half + ((bits >> cut) & _U32(1)) - lower) >> cut
        right = min(max(_I32(151 - bias - fraction) - _I32(bits >> _U32(23)), _I32(1)), _I32(25))
        significand = (bits & _U32(0x7FFFFF)) | _U32(0x800000)
        tie_to_even = (_U32(1) << _U32(right - _I32(1))) - _U32(1) + ((significand >> _U32(right)) & _U32(1))
        subnormal = (significand + tie_to_even) >> _U32(right)
        magnitude = normal if bits >= lower + _U32(1 << 23) else subnormal
        values[i] = ((patterns[i] >> _U32(31)) << sign) | magnitude


def _store(form, integers, unit, shift, floats, out):
    """`integer · RN(unit) + RN(shift)` in the format of that code; chosen by the type of `out` when compiled."""


@overload(_store)
def _store_by_type(form, integers, unit, shift, floats, out):
    return {
        types.uint32: _store_words,
        types.float64: _store_float64,
        types.float32: _store_float32,
        types.uint16: _store_16_bits,
        types.uint8: _store_8_bits,
    }[out.dtype]


def _store_words(form, integers, unit, shift, floats, out):
    for i in range(out.size):
        out[i] = integers[i]


def _store_float64(form, integers, unit, shift, floats, out):
    _scale(integers, unit, shift, shift != 0.0, out)


def _store_float32(form, integers, unit, shift, floats, out):
    _scale(integers, _F32(unit), _F32(shift), shift != 0.0, out)


def _store_16_bits(form, integers, unit, shift, floats, out):
    _scale(integers, _F32(unit), _F32(shift), shift != 0.0, floats)
    if form == _BFLOAT16:
        _to_bfloat16(floats.view(np.uint32), out)
    else:
        _to_small_float(floats.view(np.uint32), 10, 15, out)


def _store_8_bits(form, integers, unit, shift, floats, out):
    _scale(integers, _F32(unit), _F32(shift), shift != 0.0, floats)
    if form == _E4M3FN:
        _to_small_float(floats.view(np.uint32), 3, 7, out)
    else:
        _to_small_float(floats.view(np.uint32), 2, 15, out)


@_compiled
def fill(key, start, step, length, position, form, law, out):
    """Values of a law for the elements of runs, from the one at `position` on; a range is one run.

    `start` and `step` are of 64 bits; their sign means nothing.
    """
    memory = np.empty(14 * BLOCKS, np.uint32)  # one piece of memory, as a small tensor notices the time of four
    blocks, tile = memory[: 2 * BLOCKS].view(np.uint64), memory[2 * BLOCKS : 6 * BLOCKS]
    floats = memory[6 * BLOCKS : 10 * BLOCKS].view(np.float32)
    run, within_run = position // length, position % length
    unit, shift = law[5], law[6]
    done = 0
    while done < out.size:
        element, left = _U64(start) + _U64(run) * _U64(step) + _U64(within_run), length - within_run
        if left >= min(SHORT, out.size - done):
            lane = _I64(element & _U64(3))
            size = min(4 * BLOCKS - lane, out.size - done, left)
            used = (lane + size + 3) >> 2
            _count_up(element >> _U64(2), blocks[:used])
            _words(key, blocks[:used], tile)
            words = tile[lane : lane + size]
        else:
            places, packed = memory[6 * BLOCKS : 10 * BLOCKS], memory[10 * BLOCKS :]  # done with before the floats
            gap = _U64(step) - _U64(length)
            used, size = _list_runs(element, left, gap, length, min(4 * BLOCKS, out.size - done), blocks, places)
            _words(key, blocks[:used], tile)
            for i in range(size):
                packed[i] = tile[places[i]]
            words = packed[:size]
        _to_integers(law, words, floats)
        _store(form, words.view(np.int32), unit, shift, floats, out[done : done + size])
        done += size
        within_run += size
        run, within_run = run + within_run // length, within_run % length


def cached() -> bool:
    """Whether compiled code is kept for the next process."""
    return fill._cache.cache_path is not None


def ready(form: Format) -> Callable[..., None]:
    """`fill` for the type that the format is written in: compiled now, or loaded from the cache.

    It is the compiled code itself, without numba's choice by the types of the arguments, a fifth of the time of a small
    tensor: whoever calls it has seen to `out`.
    """
    out = np.empty(0, form.written)
    fill((0, 0, 0, 0), 0, 1, 1, 0, form.code, (NORMAL, 0, 0, 0, 0, 1.0, 0.0), out)
    entry_point: Callable[..., None] = next(
        code.entry_point for signature, code in fill.overloads.items() if signature[-1] == typeof(out)
    )
    return entry_point
