from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanin.compat.numpy import draw
from fanin.errors import BadInput, UnknownName
from fanin.graph import Fans
from fanin.initializers import Normal, Target, he_uniform
from fanin.stream import key, normal


def test_the_canonical_layout_is_what_a_plan_draws() -> None:
    target = Target("conv.weight", (8, 4, 3, 3), "float32", Fans(36, 72))
    drawn = draw("he_uniform", (8, 4, 3, 3), seed=3, name="conv.weight")
    assert np.array_equal(drawn.ravel(), he_uniform().draw(target, 3))


@settings(deadline=None)
@given(shape=st.lists(st.integers(1, 4), min_size=2, max_size=4), data=st.data())
def test_any_layout_is_a_transposition_of_the_same_weight(shape: list[int], data: st.DataObject) -> None:
    in_axis, out_axis = data.draw(st.permutations(range(len(shape))))[:2]
    kernel = [axis for axis in range(len(shape)) if axis not in {in_axis, out_axis}]
    logical = np.transpose(np.empty(shape), (out_axis, in_axis, *kernel)).shape
    stored = draw("glorot_normal", shape, seed=1, name="w", in_axis=in_axis, out_axis=out_axis - len(shape))
    assert stored.shape == tuple(shape)
    canonical = draw("glorot_normal", logical, seed=1, name="w")
    assert np.array_equal(np.transpose(stored, (out_axis, in_axis, *kernel)), canonical)


def test_fans_can_be_given() -> None:
    bias = draw("he_normal", (5,), seed=0, name="b", fan_in=50)
    assert np.array_equal(bias, normal(key(0, "b"), range(5), math.sqrt(2) / math.sqrt(50)))
    depthwise = draw("glorot_uniform", (6, 1, 3, 3), seed=0, name="w", fan_out=9)
    assert np.abs(depthwise).max() > 0.9 * math.sqrt(6 / 18)


def test_bfloat16_comes_as_bits_and_empty_and_scalar_shapes_work() -> None:
    assert draw(Normal(), (2, 2), seed=0, name="w", dtype="bfloat16").dtype == np.uint16
    assert draw("he_normal", (0, 3), seed=0, name="w").shape == (0, 3)
    assert draw(Normal(), (), seed=0, name="w").shape == ()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"law": "he_norml"}, UnknownName, "Did you mean 'he_normal'"),
        ({"shape": (3, -1)}, BadInput, "at least 0"),
        ({"shape": 3}, BadInput, "expected integers"),
        ({"shape": (3, 1.5)}, BadInput, "expected integers"),
        ({"shape": (3,)}, BadInput, "needs the fans of 'w'"),
        ({"in_axis": 2}, BadInput, "has axes 0 … 1; got axis 2"),
        ({"in_axis": 0}, BadInput, "expected each axis once"),
        ({"law": "he_normal(fan_in=0)"}, BadInput, "fan_in counts the terms of a sum; expected more than 0"),
        ({"fan_in": -1}, BadInput, "fan_in: expected"),
        ({"fan_in": math.nan}, BadInput, "fan_in: expected"),
        ({"seed": -1}, BadInput, "seed: expected"),
        ({"name": None}, BadInput, "name: expected"),
        ({"dtype": "int8"}, UnknownName, "Known: bfloat16"),
    ],
)
def test_bad_input_is_named(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    given: dict[str, Any] = {"law": "he_normal", "shape": (4, 3), "seed": 0, "name": "w"} | arguments
    with pytest.raises(error, match=message):
        draw(given.pop("law"), given.pop("shape"), **given)
