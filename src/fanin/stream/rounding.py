"""From float32 to the 16-bit formats, by round-to-nearest-even."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def to_bfloat16_bits(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """The bfloat16 nearest to each float32, ties to even, as the 16 bits of its pattern.

    NumPy has no bfloat16; a framework views these bits as its own type.

    Example:
        >>> import numpy as np
        >>> [f"{bits:04x}" for bits in to_bfloat16_bits(np.array([1.0, -2.0], dtype=np.float32))]
        ['3f80', 'c000']
    """
    bits = values.view(np.uint32)
    tie_to_even = np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    rounded = bits + tie_to_even  # the carry into the exponent turns the largest values into infinity, as it should
    quiet_nan = bits | np.uint32(0x400000)  # a NaN stays one, whatever part of its payload is cut off
    return (np.where(np.isnan(values), quiet_nan, rounded) >> np.uint32(16)).astype(np.uint16)


def to_float16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """The float16 nearest to each float32, ties to even; beyond 65,504 it is infinite.

    Example:
        >>> import numpy as np
        >>> to_float16(np.array([0.1, 1e6], dtype=np.float32))
        array([0.1, inf], dtype=float16)
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return values.astype(np.float16)
