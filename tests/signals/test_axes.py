"""Axes through views: sizes stay, features stay features, and a way there and back changes nothing."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from fanin.signals.axes import Axes, Kind, axes_of, count, reshaped, shape_of, usual

KINDS = st.sampled_from(list(Kind))
SHAPES = st.lists(st.sampled_from([1, 2, 3, 4, 6, 8]), min_size=1, max_size=5)


@st.composite
def labelled(draw: st.DrawFn) -> Axes:
    shape = draw(SHAPES)
    return axes_of(shape, [draw(KINDS) for _ in shape])


@given(labelled())
def test_flattening_and_back_gives_the_same_kinds(axes: Axes) -> None:
    shape = shape_of(axes)
    flat = reshaped(axes, [math.prod(shape)])
    assert flat is not None
    back = reshaped(flat, shape)
    assert back == axes


@given(labelled(), st.randoms(use_true_random=False))
def test_a_view_keeps_how_many_there_are_of_each_kind(axes: Axes, random: object) -> None:
    factors = [size for a in axes for _, size in a]
    merged = [math.prod(factors[:2]), *factors[2:]] if len(factors) > 1 else factors
    seen = reshaped(axes, merged)
    assert seen is not None
    assert [count(seen, kind) for kind in Kind] == [count(axes, kind) for kind in Kind]


def test_an_axis_torn_in_uneven_pieces_has_no_kinds() -> None:
    assert reshaped(usual((2, 6, 4)), (2, 4, 6)) is None


def test_heads_are_features_and_samples_stay_samples() -> None:
    heads = reshaped(usual((8, 10, 64)), (8, 10, 4, 16))
    assert heads is not None
    assert [{k for k, _ in a} for a in heads] == [{Kind.SAMPLE}, {Kind.POSITION}, {Kind.FEATURE}, {Kind.FEATURE}]
