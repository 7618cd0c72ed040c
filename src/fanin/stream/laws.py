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


Law: TypeAlias = tuple[int, int, int, int, int, float, float]
"""`(kind, first, within, lowest, highest, unit, shift)`, for `integer(word) · RN(unit) + RN(shift)`.

kind: UNIFORM (odd integers of 24 bits), NORMAL (q32) or TRUNCATED. For TRUNCATED, else 0: the first word between the
cuts, how many there are, and the lowest and highest integer. A plain tuple, as a model makes one a tensor.
"""


class Distribution(NamedTuple):
    """A law of the stream, one word an element, and the largest distance of a value from 0."""

    law: Law
    reach: float


@dataclass(frozen=True)
class Format:
    """A floating-point format: where values are computed, how they are stored, and the largest one."""

    name: str
    computed: type[np.float32 | np.float64]
    stored: np.dtype[Any]
    largest: float


FORMATS: Final = {
    form.name: form
    for form in (
        Format("float64", np.float64, np.dtype(np.float64), float(np.finfo(np.float64).max)),
        Format("float32", np.float32, np.dtype(np.float32), float(np.finfo(np.float32).max)),
        Format("float16", np.float32, np.dtype(np.float16), 65504.0),
        Format("bfloat16", np.float32, np.dtype(np.uint16), 255 * 2.0**120),
    )
}
