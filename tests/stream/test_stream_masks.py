from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fanin.errors import BadInput
from fanin.stream import Domain, exact_mask, key, masks, words

MASK = key(0, "weight", domain=Domain.MASK)
SHAPES = [(1,), (70,), (12, 9), (9, 12), (4, 5, 6), (3, 1, 7, 2), (130, 17)]

Mask = npt.NDArray[np.bool_]


@lru_cache
def by_sorting(shape: tuple[int, ...], keep: int, axis: int | None, bits: int = 32) -> Mask:
    """The definition: all words sorted."""
    w = (words(MASK, range(math.prod(shape))) >> np.uint32(32 - bits)).reshape(shape)
    lines = np.moveaxis(w, axis, -1) if axis is not None else w.reshape(1, -1)
    ranks = np.argsort(np.argsort(lines, axis=-1, kind="stable"), axis=-1)
    kept = ranks < keep
    return np.moveaxis(kept, -1, axis) if axis is not None else kept.reshape(shape)


@st.composite
def questions(draw: st.DrawFn) -> tuple[tuple[int, ...], int, int | None]:
    shape = draw(st.sampled_from(SHAPES))
    axis = draw(st.sampled_from([None, *range(-len(shape), len(shape))]))
    length = math.prod(shape) if axis is None else shape[axis]
    return shape, draw(st.integers(0, length)), axis


@pytest.fixture(params=["as it is", "small chunks", "long lines"])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    chunk, slab = {"as it is": (1 << 20, 1 << 24), "small chunks": (40, 50), "long lines": (3, 7)}[request.param]
    monkeypatch.setattr(masks, "_CHUNK", chunk)
    monkeypatch.setattr(masks, "_SLAB", slab)


@settings(deadline=None, suppress_health_check=["function_scoped_fixture"], max_examples=60)  # type: ignore[list-item]
@given(questions(), st.data())
@pytest.mark.usefixtures("sizes")
def test_a_part_of_a_mask_is_that_of_all_words_sorted(
    question: tuple[tuple[int, ...], int, int | None], data: st.DataObject
) -> None:
    shape, keep, axis = question
    size = math.prod(shape)
    ranges = st.builds(range, st.integers(0, size), st.integers(0, size), st.integers(1, 20))
    lists = st.lists(st.integers(0, size - 1), max_size=50).map(lambda chosen: np.array(chosen, dtype=np.int64))
    elements: Any = data.draw(st.one_of(st.just(range(size)), ranges, lists))
    mask = exact_mask(MASK, elements, shape, keep, axis=axis)
    assert np.array_equal(mask, by_sorting(shape, keep, axis).reshape(-1)[np.asarray(elements, np.intp)])


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_of_equal_words_the_first_are_kept(axis: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "words", lambda stream, elements: words(stream, elements) >> np.uint32(29))
    shape = (12, 30)
    for keep in range(0, 12, 3):
        mask = exact_mask(MASK, range(360), shape, keep, axis=axis).reshape(shape)
        assert np.array_equal(mask, by_sorting(shape, keep, axis, bits=3))
        assert (mask.sum(axis=axis) == keep).all()


def test_a_long_group_is_counted_without_being_held() -> None:
    shape, keep = (3, 1_200_001), 400_000
    parts = [exact_mask(MASK, range(start, start + 900_000), shape, keep, axis=1) for start in (0, 900_000, 1_800_000)]
    rest = exact_mask(MASK, range(2_700_000, 3_600_003), shape, keep, axis=1)
    mask = np.concatenate([*parts, rest]).reshape(shape)
    assert mask.sum(axis=1).tolist() == [keep] * 3
    assert np.array_equal(mask, by_sorting(shape, keep, 1))


def test_masks_of_one_key_are_nested() -> None:
    few, many = (exact_mask(MASK, range(900), (30, 30), keep, axis=0) for keep in (7, 20))
    assert not (few & ~many).any()


def test_every_choice_is_as_likely() -> None:
    """χ² over the 10 ways to keep 2 of 5, for 20,000 independent rows."""
    rows = exact_mask(MASK, range(100_000), (20_000, 5), 2, axis=1).reshape(-1, 5)
    counts = np.unique(rows @ (1 << np.arange(5)), return_counts=True)[1]
    assert len(counts) == 10
    assert stats.chisquare(counts).pvalue > 1e-9


def test_frozen_masks(golden: Callable[[str, str], None]) -> None:
    def text(shape: tuple[int, ...], keep: int, axis: int | None) -> str:
        mask = exact_mask(MASK, range(math.prod(shape)), shape, keep, axis=axis)
        return "".join("01"[kept] for kept in mask.tolist())

    frozen = {
        f"keep {keep} of {shape} along {axis}": text(shape, keep, axis)
        for shape, keep, axis in [((8, 8), 3, 0), ((8, 8), 3, 1), ((8, 8), 30, None), ((3, 4, 5), 2, 1)]
    }
    golden("stream/masks_v1.json", json.dumps(frozen, indent=2) + "\n")


@pytest.mark.parametrize(
    ("elements", "keep", "axis", "message"),
    [
        (range(12), 4, 0, "keep: expected a number from 0 to 3, the size of a group, got 4."),
        (range(12), -1, 0, "keep: expected a number from 0 to 3, the size of a group, got -1."),
        (range(12), 13, None, "from 0 to 12"),
        (range(12), 1, 2, "axis: expected one of the 2 axes of shape (3, 4), got 2."),
        (range(12), 1, -3, "axis: expected one of the 2 axes"),
        (range(13), 1, 0, "elements: expected indices of the 12 elements of shape (3, 4), got range(0, 13)."),
        (np.array([12]), 1, 0, "elements: expected indices of the 12 elements"),
        (np.array([-1]), 1, 0, "elements: expected indices in [0, 2**64), got -1 …"),
        (np.array([0.5]), 1, 0, "elements: expected a range, Runs or an array of integers, got an array of float64."),
    ],
)
def test_what_no_mask_has_is_refused(elements: Any, keep: int, axis: int | None, message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        exact_mask(MASK, elements, (3, 4), keep, axis=axis)


@pytest.mark.parametrize("shape", [(0,), (0, 4), (4, 0)])
def test_an_empty_tensor_has_an_empty_mask(shape: tuple[int, ...]) -> None:
    assert exact_mask(MASK, range(0), shape, 0, axis=0).shape == (0,)
    assert exact_mask(MASK, np.zeros((2, 0), int), shape, 0).shape == (2, 0)


def test_no_elements_of_columns_that_are_there_have_an_empty_mask() -> None:
    """A weight of shape (4, 0) has columns of 4, of which 2 are to stay, and no column."""
    assert exact_mask(MASK, range(0), (4, 0), 2, axis=0).shape == (0,)
