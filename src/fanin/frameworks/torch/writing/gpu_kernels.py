"""The stream in Triton: the integers of `fanin.stream.kernels`, for the tensor's own device.

A program draws a tile of whole Philox blocks, four values each, and stores them side by side, 16 bytes a thread; or,
where runs start or end inside a block, a tile of single elements, each from a block of its own. Integers cannot drift
with the compiler; of the floating-point operations, a conversion and a product, nothing can be fused. The sum with a
shift could be, so the product first passes through integers: see `_values`.

Every number arrives as int32 words that Triton is told not to specialize on: a seed or a scale never compiles anew.
Importing this module imports Triton; `gpu.py` does so when there is a tensor to fill.
"""

from __future__ import annotations

from typing import Final

import triton
import triton.language as tl

from fanin.stream.laws import TRUNCATED, UNIFORM

UNITS: Final = 512  # of a tile: blocks, or elements
WARPS: Final = 4

_UNIFORM = tl.constexpr(UNIFORM)  # a kernel may name no other globals
_TRUNCATED = tl.constexpr(TRUNCATED)


@triton.jit
def _unsigned(word):
    return word.to(tl.uint32, bitcast=True)


@triton.jit
def _unsigned_64(low, high):
    return (_unsigned(high).to(tl.uint64) << 32) | _unsigned(low).to(tl.uint64)


@triton.jit
def _blocks(block, k0, k1, c2, c3):
    """Philox4x32-10 of each block: four tensors of words."""
    low, high = block.to(tl.uint32), (block >> 32).to(tl.uint32)
    return tl.philox_impl(low, high, _unsigned(c2), _unsigned(c3), _unsigned(k0), _unsigned(k1), 10)


@triton.jit
def _integers(words, table, first, within, lowest, highest, KIND: tl.constexpr):
    """The integer of each word."""
    if KIND == _UNIFORM:
        integers = ((words ^ 0x80000000).to(tl.int32, bitcast=True) >> 7) | 1
    else:
        if KIND == _TRUNCATED:
            words = _unsigned(first) + tl.umulhi(words, _unsigned(within))
        signed = words.to(tl.int32, bitcast=True)
        sign = signed >> 31
        bits = ((signed ^ sign) | 1).to(tl.float32).to(tl.int32, bitcast=True)  # to nearest even, as everywhere
        entry = tl.load(table + ((bits >> 18) - 4064)).to(tl.uint64, bitcast=True)  # 8 KiB: they stay in the L1 cache
        x = (bits & 0x3FFFF) - 131072
        slope = ((entry >> 13) & 0x1FFFFF).to(tl.int32) - (((entry & 0x1FFF).to(tl.int32) * x) >> 17)
        z = (entry >> 34).to(tl.int32) - ((slope.to(tl.int64) * x) >> 17).to(tl.int32)  # 38 bits, as one instruction
        integers = (z ^ ~sign) - ~sign
        if KIND == _TRUNCATED:
            integers = tl.minimum(tl.maximum(integers, lowest), highest)
    return integers


@triton.jit
def _values(integers, unit_low, unit_high, shift_low, shift_high, nothing, stored: tl.constexpr, SHIFTED: tl.constexpr):
    """`integer · unit + shift` as it is stored, rounded after each operation.

    `nothing` is 0, which the compiler cannot know: XOR with it leaves the product's bits as they are, and leaves the
    compiler no product that it could fuse with the sum, on any backend and with any of its settings.
    """
    if stored == tl.float64:
        unit = _unsigned_64(unit_low, unit_high).to(tl.float64, bitcast=True)
        result = integers.to(tl.float64) * unit
        if SHIFTED:
            shift = _unsigned_64(shift_low, shift_high).to(tl.float64, bitcast=True)
            result = (result.to(tl.int64, bitcast=True) ^ nothing.to(tl.int64)).to(tl.float64, bitcast=True) + shift
    else:
        result = integers.to(tl.float32) * unit_low.to(tl.float32, bitcast=True)
        if SHIFTED:
            shift = shift_low.to(tl.float32, bitcast=True)
            result = (result.to(tl.int32, bitcast=True) ^ nothing).to(tl.float32, bitcast=True) + shift
        if stored == tl.float16:
            result = result.to(tl.float16)
        elif stored == tl.int16:  # bfloat16 by integers, to nearest even: Triton's interpreter would cut bits off
            pattern = result.to(tl.uint32, bitcast=True)
            result = ((pattern + 0x7FFF + ((pattern >> 16) & 1)) >> 16).to(tl.uint16).to(tl.int16, bitcast=True)
    return result


_NUMBERS: Final = [
    *("count", "k0", "k1", "c2", "c3", "skipped", "start_low", "start_high", "step_low", "step_high", "length", "rest"),
    *("first", "within", "lowest", "highest", "unit_low", "unit_high", "shift_low", "shift_high", "nothing"),
]


@triton.jit(do_not_specialize=_NUMBERS)
def fill(
    out,
    table,
    count,
    k0,
    k1,
    c2,
    c3,
    skipped,
    start_low,
    start_high,
    step_low,
    step_high,
    length,
    rest,
    first,
    within,
    lowest,
    highest,
    unit_low,
    unit_high,
    shift_low,
    shift_high,
    nothing,
    KIND: tl.constexpr,
    SHIFTED: tl.constexpr,
    WHOLE: tl.constexpr,
    RUNS: tl.constexpr,
    SKIPS: tl.constexpr,
    TILE: tl.constexpr,
):
    """`count` values of a law into `out`, `TILE` units a program; a unit is a block if WHOLE, else an element.

    The first value lies `rest` units into a run of `length` units that starts at unit `start`; the next run starts
    `step` units later. Without RUNS there is one run without an end. With SKIPS the first `skipped` elements of the
    first block are left out.
    """
    tile = tl.program_id(0).to(tl.int64) * TILE
    unit = tl.arange(0, TILE)
    index = _unsigned_64(start_low, start_high)
    if RUNS:
        # The division by the run's length in 64 bits once a tile, in 32 bits once a unit.
        run = (tile + rest) // length
        beyond = (tile + rest - run * length).to(tl.uint32) + unit.to(tl.uint32)
        further = beyond // _unsigned(length)
        index += run.to(tl.uint64) * _unsigned_64(step_low, step_high)
        index += further.to(tl.uint64) * _unsigned_64(step_low, step_high)
        index += (beyond - further * _unsigned(length)).to(tl.uint64)
    else:
        index += tile.to(tl.uint64) + unit.to(tl.uint64)

    if WHOLE:
        x0, x1, x2, x3 = _blocks(index, k0, k1, c2, c3)
        words = tl.interleave(tl.interleave(x0, x2), tl.interleave(x1, x3))
        position = 4 * tile + tl.arange(0, 4 * TILE)
        last = 4 * tile + 4 * TILE - 1
    else:
        x0, x1, x2, x3 = _blocks(index >> 2, k0, k1, c2, c3)
        lane = (index & 3).to(tl.int32)
        words = tl.where(lane < 2, tl.where(lane == 0, x0, x1), tl.where(lane == 2, x2, x3))
        position = tile + unit
        last = tile + TILE - 1
    integers = _integers(words, table, first, within, lowest, highest, KIND)
    values = _values(integers, unit_low, unit_high, shift_low, shift_high, nothing, out.dtype.element_ty, SHIFTED)
    if SKIPS:
        position -= skipped
        tl.store(out + position, values, (position >= 0) & (position < count))
    elif last < count:  # no mask: 16 bytes at a time, whatever `count` is a multiple of
        tl.store(out + position, values)
    else:
        tl.store(out + position, values, position < count)
