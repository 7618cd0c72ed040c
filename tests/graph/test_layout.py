from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanin.compat.callers import callers
from fanin.errors import BadInput
from fanin.frameworks.held import as_numbers
from fanin.graph import Fans
from fanin.graph.layout import (
    Layout,
    as_stored,
    by_axes,
    by_equation,
    by_rank,
    depthwise,
    kernel_first,
    matrix,
)
from fanin.stream import to_bfloat16_bits


@settings(deadline=None)
@given(axes=st.permutations(range(4)))
def test_stored_undoes_the_order_of_the_axes(axes: list[int]) -> None:
    shape = (2, 3, 4, 5)
    stored = np.arange(120).reshape(shape)
    logical = stored.transpose(axes)
    layout = Layout(tuple(axes), logical.shape)
    assert np.array_equal(layout.stored(logical.ravel(), shape), stored)


@pytest.mark.parametrize(
    ("layout", "shape", "fans"),
    [
        (as_stored((7,)), (7,), None),
        (by_rank((7,)), (7,), None),
        (by_rank(()), (), None),
        (matrix((6, 8), parts=4), (8, 6), Fans(6, 2)),
        (kernel_first((3, 3, 4, 8), stride=(2, 2)), (8, 4, 3, 3), Fans(36, 18)),
        (kernel_first((3, 3, 4, 8), groups=4), (8, 4, 3, 3), Fans(36, 18)),
        (kernel_first((4, 4, 8, 6), stride=(2, 2), transposed=True), (6, 8, 4, 4), Fans(24, 128)),
        (depthwise((3, 3, 8, 2), stride=(3, 3)), (16, 1, 3, 3), Fans(9, 2)),
        (by_axes((2, 6, 8), in_axis=2, out_axis=0), (2, 8, 6), Fans(48, 12)),
        (by_equation("abc,cde->abde", (6, 2, 4)), (8, 6), Fans(6, 8)),
        (by_equation("...x,xy->...y", (6, 8)), (8, 6), Fans(6, 8)),
        (by_equation("abc,bcd->abd", (5, 6, 8)), (40, 6), Fans(6, 8)),
    ],
)
def test_logical_shapes_and_fans(layout: Layout, shape: tuple[int, ...], fans: Fans | None) -> None:
    assert (layout.shape, layout.fans) == (shape, fans)


def test_an_addition_of_another_rank_is_read_by_it() -> None:
    assert matrix((3, 4, 5)) == by_rank((3, 4, 5))
    assert kernel_first((4, 5), transposed=True) == depthwise((4, 5)) == by_equation("abc,cde->abde", (4, 5))
    assert by_rank((4, 5)) == matrix((4, 5))


def test_given_fans_take_the_place_of_the_layers() -> None:
    known = matrix((6, 8))
    assert known.with_fans(None, None) is known
    assert known.with_fans(3, None).fans == Fans(3, 8)
    assert known.with_fans(None, 5).fans == Fans(6, 5)
    assert as_stored((7,)).with_fans(3, None).fans == Fans(3, 3)


@pytest.mark.parametrize("fan", [0, -1, float("inf"), "9", True])
def test_a_fan_is_a_finite_number_above_0(fan: float) -> None:
    with pytest.raises(BadInput, match="fan_out: expected a finite number above 0"):
        matrix((6, 8)).with_fans(None, fan)


@settings(deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**100), max_value=2.0**100)))
def test_bfloat16_bits_stand_for_these_numbers(numbers: list[float]) -> None:
    bits = to_bfloat16_bits(np.array(numbers, np.float32))
    assert np.array_equal(to_bfloat16_bits(as_numbers(bits, "bfloat16")), bits)


class Layer:
    def ask(self, *inside: Layer) -> list[object]:
        return inside[0].ask(*inside[1:]) if inside else list(callers(Layer))


def test_callers_come_innermost_first() -> None:
    outer, middle, inner = Layer(), Layer(), Layer()
    assert outer.ask(middle, inner) == [inner, middle, outer]
    assert list(callers(Layer)) == []
