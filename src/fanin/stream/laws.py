"""What a law is to the code that draws: which integers a word becomes, and the product that makes them values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Values: TypeAlias = npt.NDArray[Any]

UNIFORM: Final = 0
NORMAL: Final = 1
TRUNCATED: Final = 2
BITS: Final = 3


Law: TypeAlias = tuple[int, int, int, int, int, float, float]
"""`(kind, first, within, lowest, highest, unit, shift)`, for `integer(word) · RN(unit) + RN(shift)`.

kind: UNIFORM (odd integers of 24 bits), NORMAL (q32), TRUNCATED, or BITS (the word itself, in the format WORDS). For
TRUNCATED, else 0: the first word between the cuts, how many there are, and the lowest and highest integer. A plain
tuple, as a model makes one a tensor.
"""


class Distribution(NamedTuple):
    """A law of the stream, one word an element, and the largest distance of a value from 0."""

    law: Law
    reach: float


@dataclass(frozen=True)
class Format:
    """A number format: how NumPy holds it, the bits that a kernel writes, and what it can say.

    Attributes:
        code: how a kernel tells formats of the same width apart.
        stored: the type of arrays of it; of unsigned integers, its bit patterns, where NumPy has no such type.
        written: what a kernel writes: numbers, or bit patterns of the same width.
        computed: where the product and the sum are rounded.
        largest: its largest number.
    """

    name: str
    code: int
    stored: np.dtype[Any]
    written: np.dtype[Any]
    computed: type[np.float32 | np.float64] = np.float32
    largest: float = 0.0


_F64, _F32, _F16 = np.dtype(np.float64), np.dtype(np.float32), np.dtype(np.float16)
_U32, _U16, _U8 = np.dtype(np.uint32), np.dtype(np.uint16), np.dtype(np.uint8)

WORDS: Final = Format("words", 0, _U32, _U32)

FORMATS: Final = {
    form.name: form
    for form in (
        Format("float64", 1, _F64, _F64, np.float64, float(np.finfo(np.float64).max)),
        Format("float32", 2, _F32, _F32, largest=float(np.finfo(np.float32).max)),
        Format("float16", 3, _F16, _U16, largest=65504.0),
        Format("bfloat16", 4, _U16, _U16, largest=255 * 2.0**120),
        Format("float8_e4m3fn", 5, _U8, _U8, largest=448.0),
        Format("float8_e5m2", 6, _U8, _U8, largest=57344.0),
    )
}
