from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fanin.errors import BadInput, UnknownName
from fanin.stream import (
    key,
    normal,
    q32,
    to_bfloat16_bits,
    to_float8_e4m3fn_bits,
    to_float8_e5m2_bits,
    to_float16,
    truncated_normal,
    uniform,
    words,
)
from fanin.stream.distributions import cut_word

GOLDEN = Path(__file__).parents[1] / "golden" / "stream" / "values_v1.json"
DTYPES = ["float64", "float32", "float16", "bfloat16"]
WEIGHT = key(0, "weight")
BEYOND_32_BITS = range(2**34 + 3, 2**34 + 7)

Law = Callable[[Any, str], npt.NDArray[Any]]
LAWS: dict[str, Law] = {
    "uniform(0.05)": lambda elements, dtype: uniform(WEIGHT, elements, 0.05, dtype=dtype),
    "uniform(0.5, center=0.5)": lambda elements, dtype: uniform(WEIGHT, elements, 0.5, center=0.5, dtype=dtype),
    "normal(0.02)": lambda elements, dtype: normal(WEIGHT, elements, 0.02, dtype=dtype),
    "normal(0.1, mean=1)": lambda elements, dtype: normal(WEIGHT, elements, 0.1, mean=1.0, dtype=dtype),
    "truncated_normal(0.02, -2, 2)": lambda elements, dtype: truncated_normal(
        WEIGHT, elements, 0.02, -2.0, 2.0, dtype=dtype
    ),
    "truncated_normal(1, 0.5, inf)": lambda elements, dtype: truncated_normal(
        WEIGHT, elements, 1.0, 0.5, math.inf, dtype=dtype
    ),
}


def bits(values: npt.NDArray[Any]) -> list[str]:
    size = values.dtype.itemsize
    return [f"{pattern:0{2 * size}x}" for pattern in values.view(f"u{size}").ravel().tolist()]


def everything_frozen() -> dict[str, dict[str, list[str]]]:
    """Bits of the first 16 elements and of four beyond 2^34, law by law and dtype by dtype."""
    return {
        name: {dtype: bits(law(range(16), dtype)) + bits(law(BEYOND_32_BITS, dtype)) for dtype in DTYPES}
        for name, law in LAWS.items()
    }


def test_version_1_is_frozen() -> None:
    assert everything_frozen() == json.loads(GOLDEN.read_text())


def test_known_uniforms_and_normals() -> None:
    expected = "bc828cd8 bd03ef76 bd404a1f 3b7d2bc0 bc95e9f2 3cb0e67b bcf00265 bd1f7fae"
    assert bits(uniform(WEIGHT, range(8), 0.05)) == expected.split()
    assert normal(WEIGHT, range(4), 0.02).tolist() == pytest.approx([-0.0082, -0.0185, -0.0375, 0.0019], abs=5e-5)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
class TestEveryLaw:
    def test_narrow_values_are_the_float32_ones_rounded(self, law: Law) -> None:
        single = law(range(10_000), "float32")
        assert np.array_equal(law(range(10_000), "bfloat16"), to_bfloat16_bits(single))
        assert np.array_equal(law(range(10_000), "float16"), to_float16(single))
        assert np.array_equal(law(range(10_000), "float8_e4m3fn"), to_float8_e4m3fn_bits(single))
        assert np.array_equal(law(range(10_000), "float8_e5m2"), to_float8_e5m2_bits(single))

    def test_float64_values_are_near_the_float32_ones(self, law: Law) -> None:
        single, double = law(range(10_000), "float32"), law(range(10_000), "float64")
        assert np.abs(single - double).max() <= 2 * np.spacing(np.abs(single).max())

    def test_a_region_is_the_same_elements_of_the_whole(self, law: Law) -> None:
        whole = law(range(70_000), "float32")
        index_map = np.arange(70_000).reshape(700, 100).T[5:50]
        assert np.array_equal(law(range(33_333, 69_999, 5), "float32"), whole[33_333:69_999:5])
        assert np.array_equal(law(index_map, "float32"), whole[index_map])

    def test_larger_words_give_larger_values(self, law: Law) -> None:
        in_order = np.argsort(words(WEIGHT, range(70_000)))
        assert (np.diff(law(range(70_000), "float32")[in_order]) >= 0).all()

    def test_unknown_dtype(self, law: Law) -> None:
        with pytest.raises(UnknownName, match=r"There is no dtype 'float23'\. Did you mean 'float"):
            law(range(3), "float23")


def test_float64_is_one_rounding_of_the_integer() -> None:
    z = q32(words(WEIGHT, range(1000)))
    exact = [mpmath.mpf(int(n)) * mpmath.mpf(0.02) / 2**27 for n in z]
    assert normal(WEIGHT, range(1000), 0.02, dtype="float64").tolist() == [float(value) for value in exact]


def test_float32_is_one_rounding_of_each_operation() -> None:
    for word, u, v, t in zip(
        words(WEIGHT, range(1000)).tolist(),
        uniform(WEIGHT, range(1000), 0.05),
        normal(WEIGHT, range(1000), 0.02, mean=0.7),
        truncated_normal(WEIGHT, range(1000), 0.02, -1.5, 1.0),
        strict=True,
    ):
        signed = (word ^ 0x80000000) - (1 << 32 if word < 1 << 31 else 0)
        assert u == rounded_product((signed >> 7) | 1, 0.05 * 2**-24)
        assert v == np.float32(float(rounded_product(scalar_q32(word), 0.02 * 2**-27)) + float(np.float32(0.7)))
        first, end = cut_word(-1.5), cut_word(1.0)
        z = scalar_q32(first + (word * (end - first) >> 32))
        assert t == rounded_product(min(max(z, -(3 << 26)), 1 << 27), 0.02 * 2**-27)


def scalar_q32(word: int) -> int:
    return int(q32(np.array([word], np.uint32))[0])


def rounded_product(integer: int, unit: float) -> np.float32:
    """Two float32 numbers have an exact product in float64, and the exact sum of two rounds the same way twice."""
    return np.float32(float(np.float32(integer)) * float(np.float32(unit)))


def test_uniform_integers_are_odd_and_inside() -> None:
    n = uniform(WEIGHT, range(100_000), 2.0**24)
    assert (n % 2 == 1).all()
    assert np.abs(n).max() < 2**24
    values = uniform(WEIGHT, range(100_000), 0.05)
    assert np.abs(values).max() < np.float32(0.05)


def test_scale_zero_gives_the_mean() -> None:
    assert not uniform(WEIGHT, range(10), 0.0).any()
    assert not normal(WEIGHT, range(10), 0.0).any()
    assert (normal(WEIGHT, range(10), 0.0, mean=1.5) == 1.5).all()


def test_a_scale_of_minus_zero_is_one_of_zero() -> None:
    """A law is remembered by its arguments, and these are equal."""
    for first, then in ((0.0, -0.0), (-0.0, 0.0)):
        assert np.array_equal(np.signbit(normal(WEIGHT, range(9), first)), np.signbit(normal(WEIGHT, range(9), then)))


def test_cuts_at_infinity_are_no_cuts() -> None:
    uncut = truncated_normal(WEIGHT, range(1000), 0.02, -math.inf, math.inf)
    assert np.array_equal(uncut, normal(WEIGHT, range(1000), 0.02))


def test_float32_scalars_do_not_round_the_scale_early() -> None:
    std = np.float32(1e-36)  # · 2^-27 would be subnormal in float32
    in_float64 = normal(WEIGHT, range(100), float(std), dtype="float64")
    assert np.array_equal(normal(WEIGHT, range(100), std, dtype="float64"), in_float64)  # type: ignore[arg-type]


@settings(deadline=None, derandomize=True)
@given(st.floats(-5.0, 5.0), st.floats(1e-6, 8.0))
def test_truncated_values_never_leave_the_window(low: float, width: float) -> None:
    high = low + width
    assume(cut_word(low) < cut_word(high) and math.ceil(low * 2**27) <= math.floor(high * 2**27))
    values = truncated_normal(WEIGHT, range(2000), 1.0, low, high, dtype="float64")
    assert low <= values.min() <= values.max() <= high


@pytest.mark.parametrize("std", [0.02, 1.0, 0.3333])
def test_the_usual_cuts_are_exact_in_float32(std: float) -> None:
    values = truncated_normal(WEIGHT, range(300_000), std, -2.0, 2.0)
    assert np.abs(values).max() <= 2 * np.float32(std)
    assert np.abs(values).max() > 1.9999 * std


def test_without_the_clamp_some_cuts_would_be_crossed() -> None:
    cuts = np.linspace(-4.0, 4.0, 801).tolist()
    first_values = q32(np.array([cut_word(cut) for cut in cuts], np.uint32))
    assert any(value < cut * 2**27 for value, cut in zip(first_values, cuts, strict=True))


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.floats(-40.0, 40.0))
def test_cut_words_against_mpmath(cut: float) -> None:
    with mpmath.workdps(60):
        assert cut_word(cut) == int(mpmath.nint(2**32 * mpmath.ncdf(cut)))


def test_cut_words_at_the_ends() -> None:
    assert [cut_word(cut) for cut in (-math.inf, -40.0, -0.0, 0.0, 40.0, math.inf)] == [
        0,
        0,
        2**31,
        2**31,
        2**32,
        2**32,
    ]
    assert cut_word(-6.25) == 1  # the last word of the tail
    grid = np.linspace(-9, 9, 1801).tolist()
    assert all(cut_word(cut) + cut_word(-cut) == 2**32 for cut in grid)


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
def test_bad_scales_are_refused(bad: float) -> None:
    with pytest.raises(BadInput, match="std: expected a finite number ≥ 0, got"):
        normal(WEIGHT, range(3), bad)
    with pytest.raises(BadInput, match="std: expected a finite number ≥ 0, got"):
        truncated_normal(WEIGHT, range(3), bad, -2.0, 2.0)
    with pytest.raises(BadInput, match="bound: expected a finite number ≥ 0, got"):
        uniform(WEIGHT, range(3), bad)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_bad_means_are_refused(bad: float) -> None:
    with pytest.raises(BadInput, match="mean: expected a finite number, got"):
        normal(WEIGHT, range(3), 1.0, mean=bad)
    with pytest.raises(BadInput, match="center: expected a finite number, got"):
        uniform(WEIGHT, range(3), 1.0, center=bad)


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (1.0, 1.0, "expected low < high, got 1.0 and 1.0"),
        (2.0, -2.0, "expected low < high"),
        (math.nan, 2.0, "expected low < high"),
        (7.0, 8.0, "no random word falls between 7.0 and 8.0 sigmas"),
        (-math.inf, -6.4, "no random word falls between"),
        (0.3, math.nextafter(0.3, 1.0), "no random word falls between"),
        (1e-9, 2e-9, "no random word falls between"),  # words there, but no multiple of 2^-27
    ],
)
def test_bad_windows_are_refused(low: float, high: float, message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        truncated_normal(WEIGHT, range(3), 1.0, low, high)


def test_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadInput, match=r"up to 1.26e\+05 do not fit in float16, whose largest number is 6.55e\+04"):
        normal(WEIGHT, range(3), 2e4, dtype="float16")
    with pytest.raises(BadInput, match="do not fit in float32"):
        uniform(WEIGHT, range(3), 1e39)
    with pytest.raises(BadInput, match=r"up to 453\.6 do not fit in float8_e4m3fn, whose largest number is 448"):
        normal(WEIGHT, range(3), 72.0, dtype="float8_e4m3fn")
    assert np.isfinite(truncated_normal(WEIGHT, range(1000), 3e4, -2.0, 2.0, dtype="float16")).all()
