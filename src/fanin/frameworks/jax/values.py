"""Which value, in JAX: random words → numbers of a law, the bits of `fanin.stream.reference`."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fanin.frameworks.jax.words import multiply
from fanin.stream.laws import FORMATS, NORMAL, TRUNCATED, UNIFORM, Law
from fanin.stream.quantile import TABLE

_C0: Final = (TABLE >> np.uint64(34)).astype(np.int32)
_C1: Final = (TABLE >> np.uint64(13) & np.uint64(0x1FFFFF)).astype(np.int32)
_C2: Final = (TABLE & np.uint64(0x1FFF)).astype(np.int32)


class _Narrow(NamedTuple):
    """A format: bits of its fraction, bias of its exponent, and the pattern of all that lies beyond its numbers."""

    dtype: np.dtype[Any]
    fraction: int
    bias: int
    beyond: int


_NARROW: Final = {
    "float16": _Narrow(np.dtype(np.float16), 10, 15, 0x7C00),
    "float8_e4m3fn": _Narrow(np.dtype(jnp.float8_e4m3fn), 3, 7, 0x7E),
    "float8_e5m2": _Narrow(np.dtype(jnp.float8_e5m2), 2, 15, 0x7C),
}


class Numbers(NamedTuple):
    """The numbers of a law, as values rather than constants: another scale compiles nothing anew."""

    first: Any
    within: Any
    lowest: Any
    highest: Any
    unit: Any
    shift: Any


def split(law: Law, dtype: str) -> tuple[int, bool, Numbers]:
    """Of a law: its kind, whether it is shifted, and its numbers as the dtype computes with them."""
    kind, first, within, lowest, highest, unit, shift = law
    if kind == TRUNCATED and within == 1 << 32:
        kind, first, within, lowest, highest = NORMAL, 0, 0, 0, 0  # the cuts lie beyond what any word stands for
    computed = FORMATS[dtype].computed
    words = np.uint32(first), np.uint32(within), np.int32(lowest), np.int32(highest)
    return kind, shift != 0, Numbers(*words, computed(unit), computed(shift))


def values(words: jax.Array, kind: int, shifted: bool, numbers: Numbers, dtype: str) -> jax.Array:
    """`integer(word) · unit + shift`, a rounding after each operation, then rounded to the dtype."""
    result = _integers(words, kind, numbers).astype(numbers.unit.dtype) * numbers.unit
    if shifted:
        result = _unfused(result) + numbers.shift
    if dtype == "bfloat16":
        return _to_bfloat16(result)
    return _narrowed(result, _NARROW[dtype]) if dtype in _NARROW else result


def _integers(words: jax.Array, kind: int, numbers: Numbers) -> jax.Array:
    if kind == UNIFORM:
        return (_signed(words ^ np.uint32(0x80000000)) >> np.int32(7)) | np.int32(1)
    if kind == TRUNCATED:
        share, _ = multiply(words, numbers.within)
        return jnp.minimum(jnp.maximum(_q32(numbers.first + share), numbers.lowest), numbers.highest)
    return _q32(words)


def _q32(words: jax.Array) -> jax.Array:
    """The integer quantile, as `fanin.stream.q32` says it."""
    signed = _signed(words)
    sign = signed >> np.int32(31)
    magnitude = (signed ^ sign) & np.int32(0x7FFFFFFF) | np.int32(1)
    bits = _signed(magnitude.astype(np.float32))
    segment, x = (bits >> np.int32(18)) - np.int32(4064), (bits & np.int32(0x3FFFF)) - np.int32(131072)
    c0, c1, c2 = (jnp.asarray(table).at[segment].get(mode="promise_in_bounds") for table in (_C0, _C1, _C2))
    slope = c1 - ((c2 * x) >> np.int32(17))
    drop = ((slope >> np.int32(7)) * x + (((slope & np.int32(127)) * x) >> np.int32(7))) >> np.int32(10)
    return ((c0 - drop) ^ ~sign) - ~sign


def _signed(array: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(array, np.int32)


def _unfused(product: jax.Array) -> jax.Array:
    """The products, through an operation on their bits, so that no compiler can fuse them with a sum.

    XLA fuses `a·b + c` even through an optimization barrier. What it cannot see through is a minimum of magnitudes:
    that no product reaches beyond the largest finite number is a fact of the law, not of the operations.
    """
    unsigned = np.dtype(f"uint{8 * product.dtype.itemsize}")
    bits = lax.bitcast_convert_type(product, unsigned)
    sign = bits & unsigned.type(1 << 8 * unsigned.itemsize - 1)
    largest = np.finfo(product.dtype).max.view(unsigned)
    return lax.bitcast_convert_type(sign | jnp.minimum(bits ^ sign, largest), product.dtype)


def _to_bfloat16(numbers: jax.Array) -> jax.Array:
    """To nearest even, by integers: on a GPU, XLA leaves out a cast to bfloat16 and back (openxla/xla#41605)."""
    bits = lax.bitcast_convert_type(numbers, np.uint32)
    rounded = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    return lax.bitcast_convert_type((rounded >> np.uint32(16)).astype(np.uint16), jnp.bfloat16)


def _narrowed(numbers: jax.Array, narrow: _Narrow) -> jax.Array:
    """To nearest even, by integers, for the same reason; of finite numbers."""
    bits, width = lax.bitcast_convert_type(numbers, np.uint32), 8 * narrow.dtype.itemsize
    sign, magnitude = bits >> np.uint32(32 - width) & np.uint32(1 << width - 1), bits & np.uint32(0x7FFFFFFF)
    exponent, smallest = magnitude >> np.uint32(23), np.uint32(128 - narrow.bias)
    # In units of the last place: that of the smallest normal numbers for those below, which are subnormal.
    fraction = magnitude & np.uint32(0x7FFFFF) | np.uint32(0x800000)
    below = smallest - jnp.minimum(exponent, smallest)
    dropped = jnp.minimum(np.uint32(23 - narrow.fraction) + below, np.uint32(25))
    half = (np.uint32(1) << (dropped - np.uint32(1))) - np.uint32(1)
    units = (fraction + half + (fraction >> dropped & np.uint32(1))) >> dropped
    # The leading bit of a normal number adds one to the exponent, and so does a carry out of the fraction.
    base = jnp.maximum(exponent, smallest) - smallest
    pattern = jnp.minimum(units + (base << np.uint32(narrow.fraction)), np.uint32(narrow.beyond))
    return lax.bitcast_convert_type((sign | pattern).astype(f"uint{width}"), narrow.dtype)
