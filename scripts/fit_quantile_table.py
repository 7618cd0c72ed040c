"""Fit the frozen table of the integer quantile, or walk all of it against the exact quantile.

    python scripts/fit_quantile_table.py            # fit, write quantile_table_v1.bin, print its SHA-256
    python scripts/fit_quantile_table.py --check    # every one of the 2^31 magnitudes of the table in the package

A word w has a magnitude R = (its low 31 bits, folded) | 1, which stands for the tail probability R/2^32; the value is
z0(R) = −Φ⁻¹(R/2^32) in units of 2^-27. R as float32 names its segment by its exponent and its five leading mantissa
bits (31 octaves × 32 segments); the other 18 bits are x in [−2^17, 2^17). In a segment, with t = x/2^17,

    z0 ≈ c0 − c1·t + c2·t²        z = c0 − (((c1 − ((c2·x) >> 17))·x) >> 17)        entry = c0<<34 | c1<<13 | c2

c1 and c2 come from the interpolation of Φ⁻¹ at three Chebyshev nodes, computed with mpmath; c0 then puts the error
over all magnitudes of the segment, shifts included, symmetric about 0. The table is data: once committed it is frozen,
and another fit that gives other bits would be version 2 of the stream.
"""

from __future__ import annotations

import argparse
import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

TABLE_PATH = Path(__file__).parents[1] / "src" / "fanin" / "stream" / "quantile_table_v1.bin"
UNIT = 2.0**-27
OCTAVES, SEGMENTS = 31, 32
C0_BITS, C1_BITS, C2_BITS = 30, 21, 13

Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


def exact_z(magnitude: Any) -> mpmath.mpf:
    """−Φ⁻¹(R/2^32) in units of 2^-27, to 30 digits."""
    with mpmath.workdps(40):
        return mpmath.sqrt(2) * mpmath.erfinv(1 - mpmath.mpf(magnitude) / 2**31) * 2**27


def fast_z(magnitudes: Integers) -> Reals:
    """The same in float64 (`spot_check` compares the two)."""
    return np.asarray(-ndtri(magnitudes * 2.0**-32) / UNIT)


def chebyshev_coefficients(octave: int, segment: int) -> tuple[int, int]:
    """Rounded c1 and c2 of the quadratic through z0 at the Chebyshev nodes −√3/2, 0, √3/2 of one segment."""
    node = mpmath.sqrt(3) / 2
    half_width = mpmath.mpf(2) ** octave / (2 * SEGMENTS)
    middle = mpmath.mpf(2) ** octave + (2 * segment + 1) * half_width
    left, centre, right = (exact_z(middle + t * half_width) for t in (-node, 0, node))
    slope = (left - right) / (2 * node)
    curvature = (left - 2 * centre + right) / (2 * node**2)
    return int(mpmath.nint(slope)), int(mpmath.nint(curvature))


def attained(octave: int, segment: int) -> tuple[Integers, Integers]:
    """The magnitudes R that float32 tells apart in one segment, and their x."""
    first, width = (1 << octave) + ((segment << octave) >> 5), (1 << octave) // SEGMENTS
    if octave < 24:  # float32 holds every odd R
        magnitudes = np.arange(first | 1, first + max(width, 1), 2)
        magnitudes = magnitudes[((magnitudes << 5) >> octave) - 32 == segment]
    else:
        magnitudes = np.arange(first, first + width, 1 << (octave - 23))
    bits = magnitudes.astype(np.float32).view(np.uint32).astype(np.int64)
    return magnitudes, (bits & 0x3FFFF) - 131072


def fit_segment(octave: int, segment: int) -> int:
    magnitudes, x = attained(octave, segment)
    if not len(magnitudes):
        return 0
    c1, c2 = chebyshev_coefficients(octave, segment)
    residual = fast_z(magnitudes) + (((c1 - ((c2 * x) >> 17)) * x) >> 17)
    c0 = round((float(residual.max()) + float(residual.min())) / 2)
    for value, bits in ((c0, C0_BITS), (c1, C1_BITS), (c2, C2_BITS)):
        assert 0 <= value < 1 << bits, f"octave {octave}, segment {segment}: {value} needs more than {bits} bits"
    return c0 << (C1_BITS + C2_BITS) | c1 << C2_BITS | c2


def fit() -> npt.NDArray[np.uint64]:
    """The 1,024 entries; those that no word reaches, and that of R = 2^31 (z = 0), are 0."""
    table = np.zeros(1024, np.uint64)
    for octave in range(OCTAVES):
        for segment in range(SEGMENTS):
            table[octave * SEGMENTS + segment] = fit_segment(octave, segment)
    return table


def odd_magnitudes(chunk: int = 1 << 22) -> Iterator[npt.NDArray[np.uint32]]:
    """Every odd R below 2^31, in order. The 2^31 magnitudes of a word come in pairs (R−1, R) that share one value."""
    for first in range(1, 1 << 31, chunk):
        yield np.arange(first, min(first + chunk, 1 << 31), 2, dtype=np.uint32)


def spot_check(points: int = 2000) -> float:
    """Largest |float64 quantile − mpmath quantile| in σ, over magnitudes spread evenly in their logarithm."""
    magnitudes = sorted({round(2 ** (31 * i / points)) | 1 for i in range(points)})
    fast = fast_z(np.array(magnitudes))
    return max(float(abs(exact_z(r) - z)) for r, z in zip(magnitudes, fast, strict=True)) * UNIT


def check() -> None:
    """Walk the packaged table: largest |error|, order, symmetry, widths of the fields."""
    from fanin.stream.quantile import TABLE, q32

    worst, worst_at, previous, monotone, symmetric = 0.0, 0, math.inf, True, True
    for magnitudes in odd_magnitudes():
        z = q32(~magnitudes)  # top bit set: +z0
        symmetric &= bool(np.array_equal(q32(magnitudes), -z))
        error = np.abs(z - fast_z(magnitudes.astype(np.int64)))
        if error.max() > worst:
            worst, worst_at = float(error.max()), int(magnitudes[error.argmax()])
        monotone &= bool(z[0] <= previous) and bool((np.diff(z) <= 0).all())
        previous = int(z[-1])
    print(f"largest |error|       {worst * UNIT:.4e} σ, at R = {worst_at}")
    print(f"float64 against mpmath {spot_check():.1e} σ")
    print(f"monotone              {monotone}")
    print(f"q32(~w) == -q32(w)    {symmetric}")
    print(f"largest fields        c0 {int((TABLE >> np.uint64(34)).max())} < 2^30, "
          f"c1 {int((TABLE >> np.uint64(13) & np.uint64(0x1FFFFF)).max())} < 2^21, "
          f"c2 {int((TABLE & np.uint64(0x1FFF)).max())} < 2^13")  # fmt: skip
    print(f"entries in use        {int((TABLE != 0).sum())} of 1024, that of R = 2^31 is {int(TABLE[992])}")
    if not (monotone and symmetric and worst * UNIT <= 2.0e-7 and TABLE[992] == 0):
        raise SystemExit("the table does not hold what it promises")


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit the frozen table of the integer quantile, or check it.")
    parser.add_argument("--check", action="store_true", help="walk every magnitude of the table in the package")
    if parser.parse_args().check:
        check()
    else:
        data = fit().astype("<u8").tobytes()
        TABLE_PATH.write_bytes(data)
        print(f"{TABLE_PATH.name}  SHA-256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
