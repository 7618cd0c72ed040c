"""From float32 to the formats of 16 and 8 bits, by round-to-nearest-even."""

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


def to_float8_e4m3fn_bits(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The float8_e4m3fn nearest to each float32, ties to even, as the 8 bits of its pattern.

    4 bits of exponent, 3 of fraction, bias 7; no infinity: beyond 448, its largest number, it is 448, as in torch.

    Example:
        >>> import numpy as np
        >>> [f"{bits:02x}" for bits in to_float8_e4m3fn_bits(np.array([1.0, -2.0, 1e3], dtype=np.float32))]
        ['38', 'c0', '7e']

    Reference: Micikevicius et al. 2022, "FP8 Formats for Deep Learning", table 1.
    """
    return _to_float8_bits(values, fraction=3, bias=7, beyond=0x7E)


def to_float8_e5m2_bits(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The float8_e5m2 nearest to each float32, ties to even, as the 8 bits of its pattern.

    5 bits of exponent, 2 of fraction, bias 15; what would round beyond 57,344, its largest number, is infinite.

    Example:
        >>> import numpy as np
        >>> [f"{bits:02x}" for bits in to_float8_e5m2_bits(np.array([1.0, -57344.0, 1e6], dtype=np.float32))]
        ['3c', 'fb', '7c']

    Reference: Micikevicius et al. 2022, "FP8 Formats for Deep Learning", table 1.
    """
    return _to_float8_bits(values, fraction=2, bias=15, beyond=0x7C)


def _to_float8_bits(values: npt.NDArray[np.float32], fraction: int, bias: int, beyond: int) -> npt.NDArray[np.uint8]:
    bits = values.view(np.uint32)
    magnitude = np.abs(values)
    exponent = np.maximum((magnitude.view(np.uint32) >> np.uint32(23)).astype(np.int32) - 127, 1 - bias)
    finite = np.where(np.isfinite(values), magnitude, np.float32(0.0))
    # In units of the last place, where rint takes ties to even; a carry goes from the fraction into the exponent.
    units = np.rint(np.ldexp(finite.astype(np.float64), fraction - exponent))
    patterns = units + ((exponent + bias - 1) << fraction)
    patterns = np.where(np.isfinite(values), np.minimum(patterns, beyond), np.where(np.isnan(values), 0x7F, beyond))
    return (bits >> np.uint32(24) & np.uint32(0x80)).astype(np.uint8) | patterns.astype(np.uint8)
