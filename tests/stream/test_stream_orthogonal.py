from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fanin.errors import BadInput
from fanin.stream import Domain, key, orthogonal, q32, words
from fanin.stream.orthogonal import reflection, tree_sum

Matrix = npt.NDArray[np.float64]
DRAWS = 4000
FALSE_ALARM = 1e-9


def gaussian(seed: int, name: str, m: int, n: int) -> Matrix:
    return q32(words(key(seed, name, domain=Domain.ORTHOGONAL), range(m * n))).reshape(n, m).astype(np.float64)


def product_of_reflections(x: Matrix) -> Matrix:
    """The formula with whole matrices: H_0 … H_{n−1} D."""
    n, m = x.shape
    q, signs = np.eye(m), np.ones(m)
    for k in range(n):
        u = np.where(np.arange(m) < k, 0.0, x[k])
        signs[k] = -np.sign(x[k, k])
        u[k] += np.sign(x[k, k]) * np.linalg.norm(u)
        q = q @ (np.eye(m) - 2 * np.outer(u, u) / (u @ u))
    return np.asarray(q * signs)[:, :n]


@pytest.mark.parametrize(
    ("rows", "columns"), [(1, 1), (5, 3), (64, 64), (300, 7), (7, 300), (1, 9), (9, 1), (600, 500)]
)
def test_orthonormal(rows: int, columns: int) -> None:
    q = orthogonal(0, "weight", rows, columns)
    assert q.shape == (rows, columns)
    tall = q if rows >= columns else q.T
    assert np.abs(tall.T @ tall - np.eye(min(rows, columns))).max() < 1e-14


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (4, 4), (9, 4), (40, 33)])
def test_definition(rows: int, columns: int) -> None:
    expected = product_of_reflections(gaussian(7, "w", rows, columns))
    assert np.allclose(orthogonal(7, "w", rows, columns), expected, rtol=0, atol=1e-14)


@settings(deadline=None, derandomize=True)
@given(
    st.sampled_from([(1, 1), (40, 23), (23, 40), (300, 280), (280, 300)]),
    st.integers(0, 300),
    st.integers(0, 300),
    st.integers(1, 90),
)
def test_rows_are_those_of_the_whole(shape: tuple[int, int], start: int, stop: int, step: int) -> None:
    rows = range(min(start, shape[0]), min(stop, shape[0]), step)
    part = orthogonal(0, "weight", *shape, elements=rows)
    assert part.shape == (len(rows), shape[1])
    assert np.array_equal(part, whole(*shape)[rows.start : rows.stop : rows.step])


@lru_cache
def whole(rows: int, columns: int) -> Matrix:
    return orthogonal(0, "weight", rows, columns)


def test_wide_is_the_transpose_of_tall() -> None:
    assert np.array_equal(whole(280, 300), whole(300, 280).T)
    assert whole(280, 300).flags.c_contiguous


def test_a_reflection_maps_its_vector_to_the_axis() -> None:
    for x in (
        np.array([3.0, 4.0]),
        np.array([-3.0, 4.0]),
        np.array([5.0]),
        np.array([0.0, 2.0]),
        np.array([1.0, 1e-9]),
    ):
        u, weight, sign = reflection(x)
        mapped = x - u * weight * (u @ x)
        assert np.allclose(mapped, np.eye(len(x))[0] * -sign * np.linalg.norm(x), rtol=0, atol=1e-15)


def test_a_reflection_of_the_zero_vector_is_finite() -> None:
    u, weight, sign = reflection(np.zeros(1))
    assert -sign * (1 - u[0] * weight * u[0]) == 1.0


@given(st.integers(1, 70), st.integers(1, 5))
def test_the_sum_does_not_depend_on_its_neighbours(count: int, columns: int) -> None:
    terms = 1 / np.arange(1.0, count * columns + 1).reshape(count, columns)
    total = tree_sum(terms.copy())
    assert np.allclose(total, [math.fsum(column) for column in terms.T], rtol=1e-15)
    assert all(tree_sum(terms[:, [j]].copy())[0] == total[j] for j in range(columns))


# The uniform law on orthogonal matrices


@lru_cache
def draws(rows: int, columns: int) -> Matrix:
    return np.stack([orthogonal(seed, "haar", rows, columns) for seed in range(DRAWS)])


def draws_without_signs(n: int) -> Matrix:
    """The mutant: H_0 … H_{n−1} without D."""
    diagonals = np.stack([np.diag(gaussian(seed, "haar", n, n)) for seed in range(DRAWS)])
    return draws(n, n) * -np.sign(diagonals)[:, None, :]


def entries_are_haar(matrices: Matrix) -> bool:
    """(q + 1)/2 ~ Beta((m − 1)/2, (m − 1)/2) for each entry q of a Haar matrix with m rows."""
    m = matrices.shape[1]
    law: Any = stats.beta((m - 1) / 2, (m - 1) / 2)
    entries = (matrices.reshape(len(matrices), -1).T + 1) / 2
    limit = math.sqrt(math.log(2 / FALSE_ALARM) / (2 * len(matrices)))
    return all(stats.kstest(entry, law.cdf).statistic <= limit for entry in np.clip(entries, 0, 1))


def average_is(samples: Matrix, expected: float) -> bool:
    return bool(abs(samples.mean() - expected) <= 6 * samples.std() / math.sqrt(len(samples)))


def traces_are_haar(matrices: Matrix) -> bool:
    """E[tr Q] = 0, E[(tr Q)²] = 1, E[tr Q²] = 1 on O(n), n ≥ 2 (Diaconis and Shahshahani 1994)."""
    traces = np.trace(matrices, axis1=1, axis2=2)
    squares = np.trace(matrices @ matrices, axis1=1, axis2=2)
    return average_is(traces, 0.0) and average_is(traces**2, 1.0) and average_is(squares, 1.0)


def angles_are_haar(matrices: Matrix) -> bool:
    """On O(2), a rotation by a uniform angle or, just as often, a reflection in a uniform direction."""
    angles = np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]) / (2 * math.pi) + 0.5
    rotations = np.linalg.det(matrices) > 0
    limits = [
        math.sqrt(math.log(2 / FALSE_ALARM) / (2 * max(1, count))) for count in (rotations.sum(), (~rotations).sum())
    ]
    parts = (angles[rotations], angles[~rotations])
    return all(
        len(part) > 0 and stats.kstest(part, "uniform").statistic <= limit
        for part, limit in zip(parts, limits, strict=True)
    )


@pytest.mark.parametrize("n", [2, 3, 4])
def test_haar(n: int) -> None:
    matrices = draws(n, n)
    assert entries_are_haar(matrices)
    assert traces_are_haar(matrices)
    assert average_is(np.linalg.det(matrices), 0.0)
    rotation = product_of_reflections(gaussian(1, "any fixed rotation", n, n))
    assert entries_are_haar(rotation @ matrices)  # the law does not change from the left,
    assert entries_are_haar(matrices @ rotation)  # nor from the right


def test_haar_angles() -> None:
    assert angles_are_haar(draws(2, 2))


def test_haar_columns_of_a_tall_matrix() -> None:
    assert entries_are_haar(draws(5, 2))


@pytest.mark.parametrize("n", [2, 3, 4])
def test_without_the_signs_it_is_not_haar(n: int) -> None:
    mutants = draws_without_signs(n)
    assert not entries_are_haar(mutants)
    assert not traces_are_haar(mutants)
    assert not average_is(np.linalg.det(mutants), 0.0)


def test_without_the_signs_angles_are_not_haar() -> None:
    assert not angles_are_haar(draws_without_signs(2))


@pytest.mark.parametrize(
    ("rows", "columns", "elements", "message"),
    [
        (0, 3, None, "rows: expected a size of at least 1, got 0"),
        (3, -1, None, "columns: expected a size of at least 1, got -1"),
        (3, 2, range(4), "elements: expected a forward range within the 3 rows, got range(0, 4)"),
        (3, 2, range(-1, 2), "within the 3 rows"),
        (3, 2, range(2, -1, -1), "a forward range"),
    ],
)
def test_bad_shapes_are_refused(rows: int, columns: int, elements: range | None, message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        orthogonal(0, "weight", rows, columns, elements=elements)
