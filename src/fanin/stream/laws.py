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


class Law(NamedTuple):
    """`integer(word) · RN(unit) + RN(shift)`.

    Attributes:
        kind: UNIFORM (odd integers of 24 bits), NORMAL (q32) or TRUNCATED.
        first, within: the first word between the cuts of TRUNCATED, and how many there are.
        lowest, highest: the integers that TRUNCATED may have.
    """

    kind: int
    first: int
    within: int
    lowest: int
    highest: int
    unit: float
    shift: float


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
