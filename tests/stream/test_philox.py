from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanin.errors import BadInput
from fanin.stream import key, words
from fanin.stream.philox import philox4x32_10

WEIGHT = key(0, "weight")
SIZE = 100_000  # more than three chunks
WHOLE = words(WEIGHT, range(SIZE))


def hexadecimal(array: npt.NDArray[np.uint32]) -> str:
    return " ".join(f"{word:08x}" for word in array)


@pytest.mark.parametrize(
    ("counter", "philox_key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_random123_vectors(counter: tuple[int, ...], philox_key: tuple[int, int], expected: str) -> None:
    x0, x1, x2, x3 = (np.array([word], np.uint64) for word in counter)
    assert hexadecimal(philox4x32_10(philox_key, (x0, x1, x2, x3))[0]) == expected


def test_known_words() -> None:
    assert hexadecimal(WHOLE[:8]) == "5733fc69 2d8a5646 07d1ac7a 89e3b541 5126e4f4 b74806e2 34ff40c7 1c50333f"
    beyond_32_bits = range(2**34 + 3, 2**34 + 7)
    assert hexadecimal(words(WEIGHT, beyond_32_bits)) == "1afcb1f2 979f879b 07f2e7aa cad43332"
    other = key(42, "layers.0.attention.wq.weight")
    assert hexadecimal(words(other, range(4))) == "039b22bc 21b87946 78c56a36 7429f09b"


@settings(deadline=None, derandomize=True)
@given(st.integers(0, SIZE), st.integers(0, SIZE), st.integers(1, 7000))
def test_a_range_is_the_same_elements_of_the_whole(start: int, stop: int, step: int) -> None:
    assert np.array_equal(words(WEIGHT, range(start, stop, step)), WHOLE[start:stop:step])
    assert np.array_equal(words(WEIGHT, range(start, stop)), WHOLE[start:stop])


@settings(deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, SIZE - 1), max_size=50),
    st.sampled_from([np.int32, np.int64, np.uint32, np.uint64]),
)
def test_an_index_list_is_the_same_elements_of_the_whole(indices: list[int], dtype: type[Any]) -> None:
    elements = np.array(indices, dtype)
    assert np.array_equal(words(WEIGHT, elements), WHOLE[indices] if indices else WHOLE[:0])


def test_a_permuted_index_map_longer_than_a_chunk() -> None:
    transposed = np.arange(SIZE).reshape(250, 400).T
    assert np.array_equal(words(WEIGHT, transposed), WHOLE.reshape(250, 400).T)


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 2**64 - 20), st.integers(1, 19), st.integers(1, 3))
def test_ranges_and_lists_agree_up_to_the_last_index(start: int, count: int, step: int) -> None:
    elements = range(start, min(start + count, 2**64), step)
    assert np.array_equal(words(WEIGHT, elements), words(WEIGHT, np.array(list(elements), np.uint64)))


def test_the_last_index_and_a_step_beyond_it() -> None:
    last = words(WEIGHT, range(2**64 - 1, 2**64))
    assert np.array_equal(last, words(WEIGHT, np.array([2**64 - 1], np.uint64)))
    assert np.array_equal(words(WEIGHT, range(7, 2**70, 2**70)), WHOLE[7:8])


@pytest.mark.parametrize("elements", [range(0), range(5, 5), range(9, 3), np.zeros((0, 4), np.int64)])
def test_no_elements_give_no_words(elements: Any) -> None:
    assert words(WEIGHT, elements).size == 0


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        (range(9, 3, -1), "a range that runs forwards, got range(9, 3, -1)"),
        (range(-1, 3), "indices in [0, 2**64), got -1 … 2"),
        (range(2**64, 2**64 + 1), "indices in [0, 2**64)"),
        (np.array([3, -1]), "indices in [0, 2**64), got -1"),
        (np.array([1.0]), "got an array of float64"),
        (np.array([True]), "got an array of bool"),
        ([0, 1], "a range, Runs or an array of integers, got [0, 1]"),
    ],
)
def test_other_elements_are_refused(elements: Any, message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        words(WEIGHT, elements)
