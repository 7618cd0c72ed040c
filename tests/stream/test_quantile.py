from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from fanin.errors import FaninError
from fanin.stream import q32
from fanin.stream import quantile as module


def scalar_q32(word: int) -> int:
    """The definition, in Python's own integers."""
    top = word >> 31
    magnitude = (word ^ (0xFFFFFFFF if top else 0)) & 0x7FFFFFFF | 1
    bits = int.from_bytes(struct.pack("<f", magnitude), "little")
    entry = int(module.TABLE[(bits >> 18) - 4064])
    x = (bits & 0x3FFFF) - 131072
    c0, c1, c2 = entry >> 34, entry >> 13 & 0x1FFFFF, entry & 0x1FFF
    z = c0 - (((c1 - ((c2 * x) >> 17)) * x) >> 17)
    return z if top else -z


def distinct_magnitudes(chunk: int = 1 << 19) -> Iterator[npt.NDArray[np.uint32]]:
    """Every magnitude below 2^31 that float32 tells apart: each odd one up to 2^24, then 2^23 an octave."""
    for first in range(1, 1 << 24, 2 * chunk):
        yield np.arange(first, first + 2 * chunk, 2, dtype=np.uint32)
    for octave in range(24, 31):
        spacing = 1 << (octave - 23)
        for first in range(1 << octave, 2 << octave, chunk * spacing):
            yield np.arange(first, first + chunk * spacing, spacing, dtype=np.uint32)


def test_every_distinct_magnitude() -> None:
    seen, worst, previous = 0, 0.0, np.iinfo(np.int32).max
    for magnitudes in distinct_magnitudes():
        z = q32(~magnitudes)
        assert np.array_equal(q32(magnitudes), -z)
        assert z[0] <= previous
        assert (z[1:] <= z[:-1]).all()
        some = slice(None, None, 8)  # a segment has 2^18 magnitudes, between which its quadratic hardly bends
        worst = max(worst, float(np.abs(z[some] * 2.0**-27 + ndtri(magnitudes[some] * 2.0**-32)).max()))
        seen, previous = seen + len(magnitudes), z[-1]
    assert seen == 2**23 + 7 * 2**23
    assert worst <= 2.0e-7


@settings(deadline=None, derandomize=True, max_examples=500)
@given(st.integers(0, 2**32 - 1))
@example(0)
@example(2**31 - 1)
@example(2**31)
@example(2**32 - 1)
def test_definition(word: int) -> None:
    assert q32(np.array([word], np.uint32))[0] == scalar_q32(word)


def test_order_and_symmetry_around_the_median() -> None:
    near_median = np.arange(2**31 - 2**16, 2**31 + 2**16, dtype=np.uint32)
    z = q32(near_median)
    assert (np.diff(z) >= 0).all()
    assert np.array_equal(q32(~near_median), -z)
    assert q32(np.array([2**31 - 1, 2**31], np.uint32)).tolist() == [0, 0]


def test_the_table_is_the_frozen_one() -> None:
    assert module.TABLE.shape == (1024,)
    assert hashlib.sha256(module.TABLE.astype("<u8").tobytes()).hexdigest() == module.SHA256
    assert not module.TABLE[992:].any()


def test_a_damaged_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHA256", "0" * 64)
    with pytest.raises(FaninError, match=r"damaged: expected SHA-256 0000.* got [0-9a-f]{64}\. Install fanin again"):
        module._load()
