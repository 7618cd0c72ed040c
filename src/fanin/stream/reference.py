"""The laws in NumPy: the definition of every bit. It also draws index lists, ranges with a step, and small requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from fanin.stream.laws import BITS, TRUNCATED, UNIFORM, Format, Law, Values
from fanin.stream.philox import Words
from fanin.stream.quantile import q32
from fanin.stream.rounding import to_bfloat16_bits, to_float8_e4m3fn_bits, to_float8_e5m2_bits, to_float16

ROUNDED: Final[dict[str, Callable[[npt.NDArray[np.float32]], Values]]] = {
    "float16": to_float16,
    "bfloat16": to_bfloat16_bits,
    "float8_e4m3fn": to_float8_e4m3fn_bits,
    "float8_e5m2": to_float8_e5m2_bits,
}
"""The formats narrower than float32, each a rounding of it."""


def values(words: Words, law: Law, form: Format) -> Values:
    """`integer(word) · RN(unit) + RN(shift)`, a rounding after each operation, then rounded to the stored format."""
    kind, *_, unit, shift = law
    if kind == BITS:
        return words
    result: Values = integers(words, law).astype(form.computed)
    result = result * form.computed(unit)
    if shift:
        result = result + form.computed(shift)
    return ROUNDED[form.name](result) if form.name in ROUNDED else result


def integers(words: Words, law: Law) -> npt.NDArray[np.int32]:
    """The integer of each word."""
    kind, first, within, lowest, highest, *_ = law
    if kind == UNIFORM:
        return ((words ^ np.uint32(0x80000000)).view(np.int32) >> 7) | 1
    if kind == TRUNCATED:
        share = words.astype(np.uint64) * np.uint64(within) >> np.uint64(32)
        return np.clip(q32(np.uint32(first) + share.astype(np.uint32)), lowest, highest)
    return q32(words)
