from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from fanin.stream import key, to_bfloat16_bits, to_float16, words


def every_kind_of_float32() -> npt.NDArray[np.float32]:
    """A million random bit patterns (all exponents, NaN and inf among them), and every tie between bfloat16 numbers."""
    ties = np.arange(2**16, dtype=np.uint32) << np.uint32(16) | np.uint32(0x8000)
    patterns = [words(key(0, "patterns"), range(10**6)), ties, ties - 1, ties + 1, ties & np.uint32(0xFFFF0000)]
    return np.concatenate(patterns).view(np.float32)


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
