"""The integer quantile: 32 random bits → a standard normal in units of 2^-27, without a float in between.

A piecewise quadratic of Φ⁻¹ over 31 octaves of tail probability × 32 segments, frozen as 1,024 packed integers
(`scripts/fit_quantile_table.py` fitted it, and walks all 2^31 magnitudes: monotone, largest error 1.97e-7 σ).
"""

from __future__ import annotations

import hashlib
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from fanin.errors import FaninError

SHA256 = "96ae555255e2fc079440b6ec239a7ae98ca5ddb46da67a7710cdb2a59d2b2a90"


def _load() -> npt.NDArray[np.uint64]:
    data = files("fanin.stream").joinpath("quantile_table_v1.bin").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        raise FaninError(
            f"The frozen table quantile_table_v1.bin is damaged: expected SHA-256 {SHA256}, got {digest}. "
            "Install fanin again."
        )
    return np.frombuffer(data, "<u8").astype(np.uint64)


TABLE = _load()
"""The 1,024 entries `c0 << 34 | c1 << 13 | c2`; a segment is c0 − c1·t + c2·t² with t in [−1, 1)."""

# Unpacked once: three 32-bit look-ups cost less than one of 64 bits and its shifts.
_C0 = (TABLE >> np.uint64(34)).astype(np.int32)
_C1 = (TABLE >> np.uint64(13) & np.uint64(0x1FFFFF)).astype(np.int32)
_C2 = (TABLE & np.uint64(0x1FFF)).astype(np.int32)


def q32(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
    """The standard normal quantile of random words, in units of 2^-27 σ.

    `q32(w) ≈ 2^27 · Φ⁻¹((w + ½)/2^32)`, monotone in w, `q32(~w) = −q32(w)`, |q32| < 6.3 · 2^27

    Example:
        >>> import numpy as np
        >>> q32(np.array([0, 2**31, 2**32 - 1], dtype=np.uint32)) / 2**27
        array([-6.23..., 0. , 6.23...])

    Reference: inversion, Devroye 1986, "Non-Uniform Random Variate Generation", II.2.
    """
    signed = words.view(np.int32)
    sign = signed >> 31  # −1 where the top bit is set, else 0
    magnitude = (signed ^ sign) & 0x7FFFFFFF | 1
    bits = magnitude.astype(np.float32).view(np.int32)  # rounds to nearest even, as every machine does
    segment = ((bits >> 18) - 4064).astype(np.intp)
    x = (bits & 0x3FFFF) - 131072
    slope = _C1.take(segment) - ((_C2.take(segment) * x) >> 17)
    # (slope·x) >> 17 in 32 bits: 38-bit products are split at bit 7
    drop = ((slope >> 7) * x + (((slope & 127) * x) >> 7)) >> 10
    z: npt.NDArray[np.int32] = _C0.take(segment) - drop
    return (z ^ ~sign) - ~sign
