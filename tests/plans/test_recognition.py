"""Which law values were drawn from: known laws at many sizes and dtypes, and what must not be taken for one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanin.graph import Fans
from fanin.initializers import Keep, Normal, TruncatedNormal, Uniform, VarianceScaling, Zeros, initializer
from fanin.initializers.base import Initializer, Target
from fanin.plans.measured import Measured, measured
from fanin.plans.recognition import Recognised, recognise
from fanin.plans.recognition.families import FEWEST, NORMAL, PLAIN, truncated

SQUARE_ROOT_OF_3 = math.sqrt(3)


def drawn(what: Initializer, target: Target, seed: int = 0) -> npt.NDArray[Any]:
    values = what.draw(target, seed)
    if target.dtype == "bfloat16":
        values = (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values.reshape(target.shape)


def seen_as(what: str | Initializer, shape: tuple[int, ...] = (256, 128), dtype: str = "float32") -> Recognised:
    fans = Fans(math.prod(shape[1:]), shape[0] * math.prod(shape[2:])) if len(shape) > 1 else None
    target = Target("weight", shape, dtype, fans)
    return recognise(drawn(initializer(what), target), target)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("zeros", "zeros"),
        ("ones", "ones"),
        ("constant(value=0.5)", "Constant(value=0.5)"),
        ("normal(std=0.02)", "Normal(std=0.02)"),
        ("normal", "normal"),
        ("normal(std=0.02, mean=1)", "Normal(std=0.02, mean=1)"),
        ("he_normal", "normal 1.414/√fan_in"),
        ("lecun_normal", "normal 1/√fan_in"),
        ("glorot_normal", "normal 1/√fan_avg"),
        ("torch_uniform", "uniform 0.5774/√fan_in"),
        ("glorot_uniform", "uniform 1/√fan_avg"),
        ("he_uniform", "uniform 1.414/√fan_in"),
        ("uniform(low=-0.1, high=0.1)", "Uniform(low=-0.1, high=0.1)"),
        ("uniform(low=0, high=1)", "Uniform(low=0, high=1)"),
        ("lecun_truncated_normal", "truncated normal 1/√fan_in"),
        ("truncated_normal(std=0.02)", "TruncatedNormal(std=0.02)"),
        ("truncated_normal(std=0.02, cut_in_sigmas=3)", "TruncatedNormal(std=0.02, cut_in_sigmas=3)"),
        ("orthogonal", "orthogonal"),
        ("orthogonal(gain=1.414)", "Orthogonal(gain=1.414)"),
        ("identity", "identity"),
        ("identity(gain=0.5)", "Identity(gain=0.5)"),
    ],
)
def test_a_law_is_told_from_its_values(what: str, words: str, dtype: str) -> None:
    found = str(seen_as(what, (512, 200), dtype).initializer)
    if "mean=1" in words and dtype in ("float16", "bfloat16"):
        assert found.startswith("Normal(std=0.0")  # rounding adds to it
        assert found.endswith("mean=1)")
    else:
        assert found == words


@pytest.mark.parametrize(("what", "words"), [("dirac", "dirac"), ("dirac(groups=2)", "Dirac(groups=2)")])
def test_a_dirac_kernel(what: str, words: str) -> None:
    assert str(seen_as(what, (8, 4, 3, 3) if "groups" in what else (8, 8, 3, 3)).initializer) == words


@pytest.mark.parametrize("shape", [(40, 200), (200, 40), (64, 64), (30, 4, 5, 5)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_orthogonal_matrices_of_any_shape(shape: tuple[int, ...], dtype: str) -> None:
    assert str(seen_as("orthogonal", shape, dtype).initializer) == "orthogonal"
    target = Target("weight", shape, dtype)
    values = drawn(initializer("orthogonal"), target).copy()
    values[0] *= 1.2  # mutant: lengths that are not compared
    assert isinstance(recognise(values, target).initializer, (Keep, Normal))
    assert not str(seen_as(Normal(max(shape) ** -0.5), shape, dtype).initializer).startswith("orth")


laws = st.sampled_from(["normal", "uniform", "truncated_normal"])


@settings(max_examples=60, deadline=None)
@given(
    law=laws,
    rows=st.integers(20, 300),
    columns=st.integers(20, 300),
    std=st.floats(1e-4, 10),
    seed=st.integers(0, 10**6),
    dtype=st.sampled_from(["float64", "float32", "bfloat16"]),
)
def test_whatever_the_size_the_law_fits_and_so_does_its_std(
    law: str, rows: int, columns: int, std: float, seed: int, dtype: str
) -> None:
    """A law may be called by a simpler one that its values allow, never by one that they do not."""
    what: Initializer = {
        "normal": Normal(std),
        "uniform": Uniform.of_std(std),
        "truncated_normal": TruncatedNormal(std),
    }[law]
    target = Target("weight", (rows, columns), dtype, Fans(columns, rows))
    found = recognise(drawn(what, target, seed), target)
    own = found.initializer.law(target)
    assert found.seen is not None
    assert abs(own.std / std - 1) < 12 * math.sqrt(2 / (4 * rows * columns)) + 0.01
    assert own.high >= found.seen.high - found.seen.rounding
    if rows * columns > 3000:
        assert own.kurtosis == what.law(target).kurtosis or law == "truncated_normal"
        assert (own.high == math.inf) == (law == "normal")


@pytest.mark.parametrize("count", [1, 8, FEWEST - 1])
def test_few_values_are_too_few_to_tell(count: int) -> None:
    found = seen_as("normal(std=0.02)", (count,))
    assert isinstance(found.initializer, Keep)
    assert "too few to tell a law: mean" in found.why
    assert "std" in found.why
    assert found.seen is not None
    assert found.seen.count == count


@pytest.mark.parametrize("count", [FEWEST, 300, 1000])
def test_normal_and_uniform_values_are_told_apart_from_the_first_size_that_is_enough(count: int) -> None:
    """mutant: fewer are enough."""
    wrong = 0
    for seed in range(100):
        for what in (Normal(), Uniform(-1, 1)):
            target = Target("bias", (count,))
            found = recognise(drawn(what, target, seed), target).initializer
            wrong += type(found) is not type(what)
    assert wrong <= 2


def test_what_follows_no_law_is_kept_with_what_was_seen() -> None:
    rng = np.random.default_rng(0)
    target = Target("weight", (100, 100))
    for values, why in [
        (rng.laplace(size=(100, 100)), "none of the laws"),
        (rng.standard_t(4, size=(100, 100)), "none of the laws"),
        (np.where(rng.random((100, 100)) < 0.5, 1, -1) * 0.1, "repeat"),
        (rng.normal(size=(100, 100)) * (1 + 2 * (np.arange(100) > 50)), "none of the laws"),
        (np.where(rng.random((100, 100)) < 0.1, rng.normal(size=(100, 100)), 0), "exactly 0"),
    ]:
        found = recognise(values.astype(np.float32), target)
        assert isinstance(found.initializer, Keep), found
        assert why in found.why
        assert f"std {values.std():.2e}" in found.why


@pytest.mark.parametrize("value", [math.nan, math.inf, 1 + 1j])
def test_values_that_are_no_finite_numbers_are_kept(value: complex) -> None:
    assert isinstance(recognise(np.full((3, 3), value), Target("w", (3, 3))).initializer, Keep)
    assert recognise(np.empty((0, 3)), Target("w", (0, 3))).seen is None


def test_what_cannot_be_told_from_the_name_is_said() -> None:
    found = seen_as("normal(std=0.02)", (50, 2500))
    assert str(found.initializer) == "Normal(std=0.02)"  # the simplest; 1/√2500 = 0.02
    few = recognise(drawn(Normal(0.0205), Target("w", (20, 2500)))[:, :100], Target("w", (20, 100), fans=Fans(2400, 9)))
    assert str(few.initializer) == "Normal(std=0.02)"
    assert "normal 1/√fan_in cannot be told from it" in few.why
    assert "so few could also be normal, cut at" in seen_as("normal", (16, 16)).why


def test_a_bias_is_named_by_the_fan_of_its_weight() -> None:
    target = Target("bias", (300,))
    found = recognise(drawn(Uniform(-1 / 8, 1 / 8), target), target, [Fans(64, 300)])
    assert found.initializer == VarianceScaling(1 / SQUARE_ROOT_OF_3, "fan_in", "uniform", fan_in=64)
    assert found.initializer.law(target).high == pytest.approx(1 / 8)


def test_one_value_says_nothing_but_zero_and_one() -> None:
    assert recognise(np.array([0.0]), Target("s", (1,))).initializer == Zeros()
    assert str(recognise(np.array(1.0), Target("s", ())).initializer) == "ones"
    assert isinstance(recognise(np.array([0.3]), Target("s", (1,))).initializer, Keep)


def test_declared_moments_of_the_families_are_measured() -> None:
    z = np.random.default_rng(1).normal(size=4_000_000)
    for family in (*PLAIN, truncated(2.0), truncated(1.0)):
        if family.name == NORMAL:
            values = z
        elif family.name == "uniform":
            values = np.random.default_rng(2).uniform(-SQUARE_ROOT_OF_3, SQUARE_ROOT_OF_3, 4_000_000)
        else:
            inside = z[np.abs(z) < family.cut]
            values = inside / inside.std()
        assert (values**4).mean() == pytest.approx(family.kurtosis, rel=0.01)
        for at in (-1.0, 0.3, 1.5):
            assert family.cdf(np.array([at]))[0] == pytest.approx((values < at).mean(), abs=0.002)
            assert family.beyond(abs(at)) == pytest.approx((np.abs(values) > abs(at)).mean(), abs=0.002)


def test_moments_are_those_of_all_values() -> None:
    values = np.random.default_rng(0).normal(3, 2, size=3_000_001)
    seen = measured(values)
    assert seen.count == values.size
    assert seen.mean == pytest.approx(values.mean())
    assert seen.std == pytest.approx(values.std())
    assert seen.kurtosis == pytest.approx((((values - values.mean()) / values.std()) ** 4).mean())
    assert (seen.low, seen.high) == (values.min(), values.max())


def test_the_tolerance_of_a_std_is_that_of_so_many_values() -> None:
    """mutant: a tolerance that does not shrink with their number."""
    few, many = (Measured(n, 0.0, 0.0205, 3.0, -1, 1) for n in (1000, 1_000_000))
    assert few.has_std(0.02)
    assert not many.has_std(0.02)
    assert few.has_mean(0.003, 0.02)
    assert not many.has_mean(0.003, 0.02)


@pytest.mark.parametrize(("row", "words"), [(0, "0:1: zeros"), (7, "7:8: zeros"), (299, "299:300: zeros")])
def test_a_row_for_padding(row: int, words: str) -> None:
    target = Target("embedding", (300, 40), fans=Fans(1, 40))
    values = drawn(Normal(0.02), target).copy()
    values[row] = 0
    found = recognise(values, target)
    assert str(found.initializer) == f"Normal(std=0.02) per part, {words}"
    assert found.why.startswith(f"row {row} is zeros; of the others, its 11,960 values are normal")
    again = found.initializer.draw(target, seed=5).reshape(target.shape)
    assert not again[row].any()
    assert str(recognise(again, target).initializer) == str(found.initializer)
    values[(row + 100) % 300] = 0  # two rows that are not side by side
    assert isinstance(recognise(values, target).initializer, Keep)
