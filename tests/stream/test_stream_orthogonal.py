from __future__ import annotations

import hashlib
import importlib
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
from fanin.stream import Domain, householder, key, orthogonal, parallel, q32, reflections, words
from fanin.stream.reflections import BLOCK, PANEL, Indices

public: Any = importlib.import_module("fanin.stream.orthogonal")  # the function has the module's name

Matrix = npt.NDArray[np.float64]
DRAWS = 2000
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


def tall(q: Matrix) -> Matrix:
    return q if q.shape[0] > q.shape[1] else q.T


@pytest.mark.parametrize(
    ("rows", "columns"), [(1, 1), (5, 3), (64, 64), (300, 7), (7, 300), (1, 9), (9, 1), (600, 500)]
)
def test_orthonormal(rows: int, columns: int) -> None:
    q = orthogonal(0, "weight", rows, columns)
    assert q.shape == (rows, columns)
    assert np.abs(tall(q).T @ tall(q) - np.eye(min(rows, columns))).max() < 1e-14


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (4, 4), (9, 4), (40, 33), (33, 40), (70, 70)])
def test_definition(rows: int, columns: int) -> None:
    expected = product_of_reflections(gaussian(7, "w", max(rows, columns), min(rows, columns)))
    assert np.allclose(tall(orthogonal(7, "w", rows, columns)), expected, rtol=0, atol=1e-14)


def test_wide_is_the_transpose_of_tall() -> None:
    wide = orthogonal(0, "weight", 280, 300)
    assert np.array_equal(wide, orthogonal(0, "weight", 300, 280).T)
    assert wide.flags.c_contiguous


# Parts


@lru_cache
def whole(rows: int, columns: int) -> Matrix:
    return orthogonal(0, "weight", rows, columns)


def indices(size: int) -> st.SearchStrategy[range | npt.NDArray[np.intp] | None]:
    lists = st.lists(st.integers(0, size - 1), max_size=70).map(lambda chosen: np.array(chosen, dtype=np.intp))
    ranges = st.builds(range, st.integers(0, size), st.integers(0, size), st.integers(1, 90))
    return st.one_of(st.none(), lists, ranges)


@settings(deadline=None)
@given(st.sampled_from([(1, 1), (40, 23), (23, 40), (100, 100), (130, 90), (90, 130)]), st.data())
def test_a_part_has_the_bits_of_the_whole(shape: tuple[int, int], data: st.DataObject) -> None:
    rows, columns = data.draw(indices(shape[0])), data.draw(indices(shape[1]))
    part = orthogonal(0, "weight", *shape, only_rows=rows, only_columns=columns)
    expected = whole(*shape)
    expected = expected if rows is None else expected[np.asarray(rows, np.intp)]
    expected = expected if columns is None else expected[:, np.asarray(columns, np.intp)]
    assert part.shape == expected.shape
    assert part.tobytes() == expected.tobytes()


@pytest.mark.parametrize(("shape", "axis"), [((90, 130), 0), ((100, 100), 0), ((130, 90), 1)])
def test_a_part_across_the_vectors_costs_no_more_than_they_do(
    shape: tuple[int, int], axis: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []

    class Counted:
        @staticmethod
        def haar_columns(key: object, m: int, columns: Matrix, rows: object, out: Matrix) -> None:
            computed.extend(columns)

    monkeypatch.setattr(public, "_engine", lambda multiply_adds: Counted)
    part: dict[str, Any] = {("only_rows", "only_columns")[axis]: range(7, 12)}
    orthogonal(0, "weight", *shape, **part)
    assert computed == list(range(7, 12))


# The kernels


def columns_by(engine: Any, m: int, columns: Indices, seed: int = 0) -> Matrix:
    out = np.full((m, len(columns)), np.nan)
    engine.haar_columns(key(seed, "weight", domain=Domain.ORTHOGONAL), m, columns, slice(None), out)
    return out


sizes = st.one_of(
    st.integers(1, 100), st.sampled_from([BLOCK, BLOCK + 1, 2 * BLOCK - 1, PANEL - 1, PANEL, PANEL + 1, PANEL + BLOCK])
)


@settings(deadline=None, max_examples=60)
@given(sizes, st.data())
def test_the_kernel_has_the_bits_of_the_reference(m: int, data: st.DataObject) -> None:
    chosen = data.draw(st.sets(st.integers(0, m - 1), min_size=1, max_size=80))
    columns = np.array(sorted(chosen))
    seed = data.draw(st.integers(0, 2**128 - 1))
    assert columns_by(householder, m, columns, seed).tobytes() == columns_by(reflections, m, columns, seed).tobytes()


@pytest.mark.parametrize(("m", "n"), [(300, 300), (1000, 70), (520, 515)])
def test_the_kernel_has_the_bits_of_the_reference_for_whole_matrices(m: int, n: int) -> None:
    assert columns_by(householder, m, np.arange(n)).tobytes() == columns_by(reflections, m, np.arange(n)).tobytes()


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
def test_neither_threads_nor_interruptions_change_a_bit(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = columns_by(householder, 300, np.arange(300))
    monkeypatch.setattr(parallel, "cores", lambda: threads)
    monkeypatch.setattr(householder, "_WORK", 1)  # a call a block
    assert columns_by(householder, 300, np.arange(300)).tobytes() == expected.tobytes()


@pytest.mark.parametrize("threads", [1, 3])
def test_an_interruption_ends_the_work_after_what_is_begun(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: threads)
    begun: list[int] = []

    def task(item: int) -> None:
        begun.append(item)
        if item >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parallel.for_each(task, range(1000))
    assert len(begun) <= 2 + threads


def test_large_matrices_start_the_kernel_and_small_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public, "_by_numpy", public.Counter[str]())
    assert public._engine(1000) is reflections
    assert public._engine(public.WORTH_COMPILING) is householder
    assert public._engine(1000) is householder
    assert orthogonal(0, "weight", 90, 130).tobytes() == whole(90, 130).tobytes()


def test_without_numba_there_is_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    public._compiled.cache_clear()
    monkeypatch.setattr("fanin.stream.draw._kernels", {})
    monkeypatch.setattr("fanin.stream.draw._said", {"import"})  # that it cannot be imported
    assert public._compiled() is reflections
    public._compiled.cache_clear()


# The pieces


@pytest.mark.parametrize("m", [1, 2, 40])
def test_a_reflection_maps_its_vector_to_the_axis(m: int) -> None:
    stream = key(3, "weight")
    x = reflections.gaussians(stream, m, 0, 1)[0]
    (_, u, _, weight, sign) = reflections.reflections(stream, m, 0, 1)
    mapped = x - u[:, 0] * weight * (u[:, 0] @ x)
    assert np.allclose(mapped, np.eye(m)[0] * -sign * np.linalg.norm(x), rtol=0, atol=1e-15 * np.linalg.norm(x))


@pytest.mark.parametrize("engine", [reflections, householder], ids=["numpy", "numba"])
def test_a_reflection_of_the_zero_vector_is_finite(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = lambda key, m, first, count: np.zeros((count, m))  # noqa: E731
    monkeypatch.setattr(engine, "gaussians", zeros)
    assert columns_by(engine, 1, np.zeros(1, np.intp)) == 1.0


@given(st.integers(1, 3 * PANEL))
def test_the_sum_is_close_and_does_not_depend_on_its_neighbours(count: int) -> None:
    terms = 1 / np.arange(1.0, 3 * count + 1).reshape(count, 3)
    summed = reflections.total(terms, terms, np.multiply)
    assert np.allclose(summed, [math.fsum(column * column) for column in terms.T], rtol=1e-14)
    assert all(reflections.total(terms[:, [j]], terms[:, [j]], np.multiply) == summed[j] for j in range(3))


def test_frozen_bits(golden: Callable[[str, str], None]) -> None:
    shapes = [(5, 3), (3, 5), (4, 4), (33, 33), (70, 300), (300, 70), (300, 300)]
    frozen = {}
    for rows, columns in shapes:
        q = orthogonal(0, "weight", rows, columns)
        first = [f"{pattern:016x}" for pattern in q.view(np.uint64).reshape(-1)[:8].tolist()]
        digest = hashlib.sha256(q.astype("<f8").tobytes()).hexdigest()
        frozen[f"{rows} x {columns}"] = {"sha256 of little-endian float64": digest, "first": first}
    golden("stream/orthogonal_v1.json", json.dumps(frozen, indent=2) + "\n")


# The uniform law on orthogonal matrices


@lru_cache
def draws(rows: int, columns: int) -> Matrix:
    return np.stack([orthogonal(seed, "haar", rows, columns) for seed in range(DRAWS)])


def draws_without_signs(n: int) -> Matrix:
    """The mutant: H_0 … H_{n−1} without D."""
    diagonals = np.stack([np.diag(gaussian(seed, "haar", n, n)) for seed in range(DRAWS)])
    return draws(n, n) * -np.sign(diagonals)[:, :, None]  # rows are the vectors


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
    ("rows", "columns", "parts", "message"),
    [
        (0, 3, {}, "rows: expected a size of at least 1, got 0"),
        (3, -1, {}, "columns: expected a size of at least 1, got -1"),
        (3, 2, {"only_rows": range(4)}, "only_rows: expected indices from 0 to 2, got range(0, 4)"),
        (3, 2, {"only_columns": np.array([0, 2])}, "only_columns: expected indices from 0 to 1, got [0 2]"),
        (3, 2, {"only_rows": range(-1, 2)}, "from 0 to 2"),
        (3, 2, {"only_rows": np.zeros((1, 1), int)}, "from 0 to 2"),
    ],
)
def test_bad_shapes_are_refused(rows: int, columns: int, parts: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        orthogonal(0, "weight", rows, columns, **parts)
