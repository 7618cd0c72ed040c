from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from fanin.stream import key, normal, to_bfloat16_bits, to_float8_e4m3fn_bits, to_float8_e5m2_bits, to_float16, words
from fanin.stream.laws import FORMATS

Float32 = npt.NDArray[np.float32]
FLOAT8: dict[str, Callable[[Float32], npt.NDArray[np.uint8]]] = {
    "float8_e4m3fn": to_float8_e4m3fn_bits,
    "float8_e5m2": to_float8_e5m2_bits,
}


def every_kind_of_float32() -> Float32:
    """A million random bit patterns (all exponents, NaN and inf among them), and every tie between bfloat16 numbers."""
    ties = np.arange(2**16, dtype=np.uint32) << np.uint32(16) | np.uint32(0x8000)
    patterns = [words(key(0, "patterns"), range(10**6)), ties, ties - 1, ties + 1, ties & np.uint32(0xFFFF0000)]
    return np.concatenate(patterns).view(np.float32)


def around_ties(dtype: str) -> Float32:
    """All numbers of a format of 8 bits, the ties between them, and the next float32 on either side of each."""
    numbers = torch.arange(256, dtype=torch.uint8).view(getattr(torch, dtype)).double().numpy()
    numbers = np.unique(numbers[np.isfinite(numbers)])
    half = (numbers[1:] + numbers[:-1]) / 2
    beyond = [numbers[-1] + step * (numbers[-1] - numbers[-2]) / 2 for step in range(4)]
    exact = np.concatenate([numbers, half, beyond, np.negative(beyond)]).astype(np.float32)
    infinity = np.float32(np.inf)
    return np.concatenate([exact, np.nextafter(exact, infinity), np.nextafter(exact, -infinity)])


def in_torch(values: Float32, dtype: str) -> npt.NDArray[Any]:
    return torch.from_numpy(values).to(getattr(torch, dtype)).view(torch.uint8).numpy()


def test_bfloat16_is_what_torch_rounds_to() -> None:
    values = every_kind_of_float32()
    nan = np.isnan(values)
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.uint16).numpy()
    bits = to_bfloat16_bits(values)
    assert np.array_equal(bits[~nan], expected[~nan])
    assert np.isnan((bits[nan].astype(np.uint32) << np.uint32(16)).view(np.float32)).all()


def test_cutting_the_lower_bits_would_not_round() -> None:
    values = every_kind_of_float32()
    cut = (values.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    assert (cut != to_bfloat16_bits(values)).mean() > 0.4


def test_float16_is_what_torch_rounds_to() -> None:
    values = every_kind_of_float32()
    nan = np.isnan(values)
    expected = torch.from_numpy(values).to(torch.float16).numpy()
    assert np.array_equal(to_float16(values)[~nan].view(np.uint16), expected[~nan].view(np.uint16))
    assert np.isnan(to_float16(values)[nan]).all()


@pytest.mark.parametrize("dtype", FLOAT8)
class TestFloat8:
    def test_it_is_what_torch_rounds_to(self, dtype: str) -> None:
        halves = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
        for values in (every_kind_of_float32(), around_ties(dtype), halves):
            assert np.array_equal(FLOAT8[dtype](values), in_torch(values, dtype))  # NaN and infinity too

    @pytest.mark.parametrize("std", [1e-3, 1.0, 50.0])
    def test_every_value_of_a_law_is_what_torch_rounds_to(self, dtype: str, std: float) -> None:
        single = normal(key(0, "weight"), range(300_000), std)
        drawn = normal(key(0, "weight"), range(300_000), std, dtype=dtype)
        assert drawn.dtype == np.uint8
        assert np.array_equal(drawn, in_torch(single, dtype))

    def test_ties_away_from_zero_would_be_noticed(self, dtype: str) -> None:
        values = around_ties(dtype)
        away = FLOAT8[dtype](np.nextafter(values, np.copysign(np.float32(np.inf), values)))
        assert not np.array_equal(away, FLOAT8[dtype](values))

    def test_the_largest_number_is_that_of_torch(self, dtype: str) -> None:
        assert FORMATS[dtype].largest == torch.finfo(getattr(torch, dtype)).max
