"""Mirrored weights: the layout of the pairs, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.errors import BadInput
from fanin.graph import Fans
from fanin.initializers import Keep, Mirrored, Normal, Ones, Orthogonal, Target, lecun_normal


@given(
    st.integers(1, 5), st.integers(1, 5), st.sampled_from([(), (3,), (2, 3)]), st.sampled_from([(1, 1), (1, 0), (0, 1)])
)
def test_the_blocks_are_each_others_negatives(
    rows: int, columns: int, kernel: tuple[int, ...], sides: tuple[int, int]
) -> None:
    """Mutant: one sign for all four blocks."""
    what = Mirrored(Normal(), rows=bool(sides[0]), columns=bool(sides[1]))
    shape = (rows * (1 + sides[0]), columns * (1 + sides[1]), *kernel)
    w = what.draw(Target("w", shape, "float64"), seed=3).reshape(shape)
    block = Normal().draw(Target("w", (rows, columns, *kernel), "float64"), seed=3).reshape(rows, columns, *kernel)
    assert (w[:rows, :columns] == block).all()
    if sides[0]:
        assert (w[rows:] == -w[:rows]).all()
    if sides[1]:
        assert (w[:, columns:] == -w[:, :columns]).all()


def test_a_block_sees_the_fans_of_one_of_a_pair() -> None:
    """Var(w) = 1/(n/2) = 2/n: He's, as it must be for ReLU."""
    target = Target("w", (64, 128), fans=Fans(128, 64))
    assert Mirrored(lecun_normal()).law(target).std == pytest.approx((2 / 128) ** 0.5)


@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (4,), ()])
def test_odd_sides_and_vectors_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="needs an even number of rows and columns"):
        Mirrored(Normal()).law(Target("w", shape))


def test_what_cannot_be_mirrored_is_refused() -> None:
    with pytest.raises(BadInput, match="got neither"):
        Mirrored(rows=False, columns=False)
    with pytest.raises(BadInput, match="kept as a whole"):
        Mirrored(Keep())
    with pytest.raises(BadInput, match="block of mean 0"):
        Mirrored(Ones()).law(Target("w", (2, 2)))


def test_relu_behind_pairs_is_an_isometry() -> None:
    w = Mirrored(Orthogonal()).draw(Target("w", (32, 32), "float64"), seed=0).reshape(32, 32)
    z = np.random.default_rng(0).normal(size=16)
    for _ in range(50):
        pairs = np.maximum(np.concatenate([z, -z]), 0)
        z = (w @ pairs)[:16]
    assert np.linalg.norm(z) == pytest.approx(np.linalg.norm(np.random.default_rng(0).normal(size=16)))
