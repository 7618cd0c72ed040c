"""Tensors that pack several: which parts, under which names, and that any region is drawn alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanin.errors import BadInput
from fanin.graph import Fans, Part, Parts
from fanin.initializers import (
    Chrono,
    Constant,
    Initializer,
    Keep,
    Normal,
    Orthogonal,
    PerPart,
    Structure,
    Target,
    Zeros,
    block_orthogonal,
    forget_gate_bias,
    from_dict,
    he_normal,
    initializer,
    prior_bias,
    to_dict,
)
from fanin.initializers.chrono import natural_log
from fanin.stream import Runs
from fanin.testing import assert_conforms, assert_draws_are_pure, assert_law_is_measured

QKV = Parts(("q", "k", "v"))


def test_parts_lie_side_by_side_along_their_axis() -> None:
    assert QKV.of((6, 4)) == (Part("q", 0, 2, (2, 4)), Part("k", 2, 2, (2, 4)), Part("v", 4, 2, (2, 4)))
    assert Parts(("a", "b"), axis=-1, sizes=(3, 1)).of((2, 4)) == (Part("a", 0, 3, (2, 3)), Part("b", 3, 1, (2, 1)))
    assert Parts(axis=1, slices=True).of((3, 2, 5)) == (Part("0", 0, 1, (3, 5)), Part("1", 1, 1, (3, 5)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (Parts, "either names or slices=True"),
        (lambda: Parts(("a",), slices=True), "either names or slices=True"),
        (lambda: Parts(("a", "a")), "a name of its own; got a, a"),
        (lambda: Parts("qkv"), "names must be a sequence of str; got 'qkv'"),  # type: ignore[arg-type]
        (lambda: Parts(("a", "b"), sizes=(1,)), "expected a size for each of a, b"),
        (lambda: Parts(("a",), axis="x"), "axis must be an integer"),  # type: ignore[arg-type]
        (lambda: QKV.of((7, 2)), r"packs q, k, v: expected a length of a multiple of 3; got 7"),
        (lambda: Parts(("a", "b"), sizes=(1, 2)).of((4,)), r"expected a length of 1 \+ 2; got 4"),
        (lambda: QKV.of(()), r"shape \(\) has no axis 0"),
        (lambda: PerPart(Keep()), "kept as a whole or not at all"),
        (lambda: PerPart(but={"x": "zeros"}, parts=("q", "k")), "no part is called x; there are q, k"),
        (lambda: PerPart().law(Target("w", (4, 4))), "'w' .* declares no parts. Say which it has"),
        (lambda: PerPart(parts=("a", "b")).law(Target("w", (6, 2), parts=QKV)), "PerPart expected Parts.*Leave its"),
        (lambda: block_orthogonal(blocks=0), "blocks must be an integer, at least 1"),
        (lambda: Chrono(2), "longest must be a finite number of steps above 2; got 2"),
        (lambda: Chrono().law(Target("b", (6,))), "needs the bias of four gates"),
        (lambda: Chrono().law(Target("b", (12,), parts=QKV)), "gates i, f, g, o of an LSTM"),
        (lambda: prior_bias(1.0), "a probability between 0 and 1; got 1.0"),
    ],
)
def test_parts_that_cannot_be_are_refused(build: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        build()


@pytest.mark.parametrize("what", [Normal(), Orthogonal(), he_normal()], ids=str)
def test_a_part_is_drawn_as_the_parameter_that_it_would_be_alone(what: Initializer) -> None:
    target = Target("attn.in_proj_weight", (12, 4), "float64", Fans(4, 4), QKV)
    packed = PerPart(what).draw(target, seed=5).reshape(3, 16)
    for i, name in enumerate("qkv"):
        alone = what.draw(Target(f"attn.in_proj_weight.{name}", (4, 4), "float64", Fans(4, 4)), seed=5)
        assert (packed[i] == alone).all()


def test_declared_by_the_caller_a_part_has_its_share_of_the_fan_out() -> None:
    grouped_query = PerPart("glorot_normal", parts=Parts(("q", "k", "v"), sizes=(8, 2, 2)))
    pieces = grouped_query.pieces(Target("qkv", (12, 6), fans=Fans(6, 12)))
    assert [alone.fans for _, _, alone in pieces] == [Fans(6, 8), Fans(6, 2), Fans(6, 2)]
    experts = PerPart("glorot_normal", parts=Parts(slices=True))
    assert {alone.fans for _, _, alone in experts.pieces(Target("e", (5, 4, 3), fans=Fans(4, 3)))} == {Fans(4, 3)}


def test_the_blocks_of_a_block_orthogonal_matrix_are_orthogonal() -> None:
    w = block_orthogonal(2.0, blocks=3).draw(Target("w", (12, 4), "float64"), seed=0).reshape(3, 4, 4)
    assert np.allclose(np.einsum("bij,bkj->bik", w, w), 4 * np.eye(4))
    assert not np.allclose(w[0], w[1])


@st.composite
def packed(draw: st.DrawFn) -> tuple[Target, PerPart]:
    shape = tuple(draw(st.integers(1, 4)) for _ in range(draw(st.integers(1, 3))))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    if draw(st.booleans()):
        return Target("w", shape, "float32"), PerPart(Normal(), parts=Parts(axis=axis, slices=True))
    sizes = tuple(draw(st.lists(st.integers(0, 3), min_size=1, max_size=3)))
    shape = tuple(sum(sizes) if i == axis % len(shape) else n for i, n in enumerate(shape))
    names = tuple("abc"[: len(sizes)])
    return Target("w", shape, "float32"), PerPart(Normal(), (("a", Zeros()),), Parts(names, axis, sizes))


@settings(deadline=None, derandomize=True, max_examples=150, database=None)
@given(packed(), st.data())
def test_any_region_of_any_packing_is_cut_from_the_whole(case: tuple[Target, PerPart], data: st.DataObject) -> None:
    target, what = case
    whole = what.draw(target, seed=1)
    parts = [
        (Zeros() if what.but and name == "a" else Normal()).draw(alone, seed=1).reshape(alone.shape)
        for (name, *_), _, alone in what.pieces(target)
    ]
    assert isinstance(what.parts, Parts)
    axis = what.parts.axis % len(target.shape)
    together = np.stack(parts, axis) if what.parts.slices else np.concatenate(parts, axis)
    assert (whole.reshape(target.shape) == together).all()
    n = target.size
    begin = data.draw(st.integers(0, n))
    end = data.draw(st.integers(begin, n))
    assert (what.draw(target, 1, range(begin, end)) == whole[begin:end]).all()
    some = np.array(data.draw(st.lists(st.integers(0, max(n - 1, 0)), max_size=5 if n else 0)), dtype=np.int64)
    assert (what.draw(target, 1, some) == whole[some]).all()
    if n >= 4:
        runs = Runs(start=0, step=n // 2, count=2, length=n // 4)
        assert (what.draw(target, 1, runs) == whole[runs[:].astype(int)]).all()


# Gates


def test_an_lstm_remembers_by_its_forget_gate() -> None:
    bias = forget_gate_bias(1.5).draw(Target("bias_ih_l0", (8,), parts=Parts(("i", "f", "g", "o"))), seed=0)
    assert bias.tolist() == [0, 0, 1.5, 1.5, 0, 0, 0, 0]
    law = forget_gate_bias(1.5).law(Target("b", (8,)))
    assert (law.mean, law.low, law.high, law.structure) == (0.375, 0.0, 1.5, Structure.FIXED)
    assert law.std == pytest.approx(1.5 * math.sqrt(3) / 4)


@pytest.mark.parametrize("longest", [2.5, 10, 784, 1e6])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_chrono_biases_have_the_law_that_they_declare(longest: float, dtype: str) -> None:
    target = Target("bias", (4 * 5000,), dtype)
    assert_law_is_measured(Chrono(longest), target)
    assert_draws_are_pure(Chrono(longest), target)


def test_chrono_biases_are_those_of_the_paper() -> None:
    i, f, g, o = Chrono(50).draw(Target("bias", (4 * 5000,), "float64"), seed=0).reshape(4, -1)
    assert (i == -f).all()
    assert not g.any()
    assert not o.any()
    steps = np.exp(f)
    assert steps.min() > 1
    assert steps.max() < 49
    assert steps.mean() == pytest.approx(25, abs=6 * 48 / math.sqrt(12 * 5000))


def test_the_logarithm_is_right_to_the_last_places() -> None:
    x = np.concatenate([np.linspace(1, 2, 10_001), np.geomspace(1e-300, 1e300, 10_001)])
    assert np.abs(natural_log(x) - np.log(x)).max() <= 4 * 2.0**-53 * 691


# Spelling


def test_nested_initializers_survive_json_and_are_spelled_by_name() -> None:
    what = PerPart(Orthogonal(2.0), (("f", Constant(1.0)),), Parts(("i", "f"), sizes=(1, 3)))
    assert from_dict(to_dict(what)) == what
    assert initializer("per_part(each='he_normal', parts=('q', 'k', 'v'))") == PerPart(he_normal(), parts=QKV)
    assert str(forget_gate_bias()) == "zeros per part, f: Constant(value=1)"
    assert_conforms(what, [Target("w", (4, 3), "float32"), Target("v", (4, 4), "bfloat16")])
