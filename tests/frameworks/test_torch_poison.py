"""What was never written is found, and what was is not suspected."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fanin.frameworks.torch.model.poison import poison_, poisoned

FLOATS = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.complex64, torch.complex128]
EXACT = [*FLOATS, torch.int64, torch.int32, torch.bool]
SMALL = [torch.int16, torch.int8, torch.uint8]
EIGHT_BITS = [torch.float8_e4m3fn, torch.float8_e5m2]


@pytest.mark.parametrize("dtype", [*EXACT, *SMALL, *EIGHT_BITS])
def test_fresh_memory_is_poisoned_until_it_is_written(dtype: torch.dtype) -> None:
    x = torch.zeros(3, 4, dtype=dtype)
    assert not poisoned(x)
    poison_(x)
    assert poisoned(x)
    x.copy_(torch.ones(3, 4))
    assert not poisoned(x)


@pytest.mark.parametrize("dtype", EXACT)
def test_one_element_that_was_forgotten_is_found(dtype: torch.dtype) -> None:
    x = torch.empty(3, 4, dtype=dtype)
    poison_(x)
    x.view(-1)[:-1] = 0
    assert poisoned(x)


@pytest.mark.parametrize("dtype", FLOATS)
def test_who_reads_it_gets_nan_and_a_nan_of_the_users_is_not_poison(dtype: torch.dtype) -> None:
    x = torch.empty(5, dtype=dtype)
    poison_(x)
    assert x.isnan().all()
    assert not poisoned(torch.full((5,), float("nan"), dtype=dtype))


@pytest.mark.parametrize("dtype", SMALL)
def test_a_small_integer_that_happens_to_look_so_is_not_suspected(dtype: torch.dtype) -> None:
    x = torch.empty(2, dtype=dtype)
    poison_(x)
    x[1] = 0
    assert not poisoned(x)


@given(st.lists(st.integers(0, 4), min_size=0, max_size=4), st.randoms())
def test_any_shape_and_any_layout(shape: list[int], order: object) -> None:
    axes = list(range(len(shape)))
    order.shuffle(axes)  # type: ignore[attr-defined]
    x = torch.zeros([*shape, 2])[..., 0].permute(axes)
    poison_(x)
    assert poisoned(x) == (x.numel() > 0)
    x.fill_(1.0)
    assert not poisoned(x)


def test_a_view_of_a_part_does_not_touch_the_rest() -> None:
    whole = torch.zeros(10)
    poison_(whole[2:4])
    assert whole.isnan().tolist() == [False] * 2 + [True] * 2 + [False] * 6
