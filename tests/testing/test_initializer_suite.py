"""The conformance suite: it passes what is right, and each of its promises is seen to fail on a wrong initializer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from scipy.linalg import block_diag

from fanin.errors import BadInput
from fanin.graph import Fans
from fanin.initializers import (
    ALL,
    Initializer,
    Keep,
    Law,
    Normal,
    Orthogonal,
    Structure,
    Target,
    Uniform,
    initializer,
)
from fanin.initializers.base import all_elements
from fanin.stream import Elements, key, normal
from fanin.stream.laws import FORMATS
from fanin.testing import (
    COMPLEX_TARGETS,
    SHAPES,
    TARGETS,
    Foreign,
    assert_all_conform,
    assert_conforms,
    assert_draws_are_pure,
    assert_draws_follow_the_seed,
    assert_haar_distributed,
    assert_law_is_measured,
    assert_round_trips,
    assert_structure_holds,
    distinct_tolerance,
    ks_tolerance,
    kurtosis_tolerance,
    mean_tolerance,
    rounding_tolerance,
    std_tolerance,
)

MATRIX = Target("weight", (64, 64), "float32", Fans(64, 64))


@dataclass(frozen=True)
class Sparse(Initializer):
    """A third party's law: N(0, 1) with probability p, else 0. Its tails are heavy, and it says so."""

    density: float = 0.25
    declared_std: float | None = None
    kind: str = "bernoulli"

    def law(self, target: Target) -> Law:
        std = math.sqrt(self.density) if self.declared_std is None else self.declared_std
        return Law(0.0, std, kurtosis=3 / self.density)

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        chosen = all_elements(target, elements)
        values = normal(key(seed, target.name), chosen, 1.0, dtype=target.dtype)
        kept = normal(key(seed, target.name, draw=1), chosen, 1.0) < -0.6744897501960817  # the quartile
        return np.where(kept, values, np.zeros_like(values))


@pytest.mark.parametrize("name", ALL)
def test_every_initializer_of_the_literal_conforms(name: str) -> None:
    assert_conforms(ALL[name]())


@pytest.mark.parametrize("name", ALL)
def test_every_initializer_of_the_literal_conforms_in_complex_numbers(name: str) -> None:
    assert_conforms(ALL[name](), COMPLEX_TARGETS)


@pytest.mark.parametrize("seed", [2**127 + 5])
def test_they_conform_under_another_seed(seed: int) -> None:
    assert_all_conform(seed=seed)


def test_a_law_of_a_third_party_conforms() -> None:
    assert_conforms(Sparse())
    assert_all_conform({"sparse": Sparse})


def test_a_law_of_a_third_party_prints_its_words_as_words() -> None:
    assert str(Sparse(density=0.5, kind="other")) == "Sparse(density=0.5, kind=other)"


@pytest.mark.parametrize("name", ALL)
def test_a_name_that_is_printed_alone_is_understood(name: str) -> None:
    printed = str(ALL[name]())
    if printed.isidentifier():
        assert initializer(printed) == ALL[name]()


# Tolerances


def test_tolerances_are_those_of_their_formulas() -> None:
    assert mean_tolerance(400, std=2.0) == 6 * 2.0 / 20
    assert std_tolerance(1800, kurtosis=3.0) == pytest.approx(6 / 60)
    assert std_tolerance(100, kurtosis=1.0) == 0.0
    assert kurtosis_tolerance(96 * 36) == pytest.approx(1.0)
    assert ks_tolerance(1) == pytest.approx(math.sqrt(math.log(1e9) / 2))
    assert distinct_tolerance(4.0) == 13.0
    assert rounding_tolerance("bfloat16", 1.0) == pytest.approx(5 / 256)
    assert rounding_tolerance("float16", 0.0) == 2.0**-24


@pytest.mark.parametrize("law", [Normal(), Sparse(0.3)], ids=repr)
def test_the_kurtosis_of_many_samples_scatters_as_the_tolerance_says(law: Initializer) -> None:
    n, samples = 4000, 2000
    target = Target("w", (samples, n), "float64")
    declared = law.law(target)
    measured = ((law.draw(target, 0).reshape(samples, n) / declared.std) ** 4).mean(axis=1)
    # the scatter of a sum of heavy-tailed terms is itself uncertain: its kurtosis is below 6 for either law
    scatter = kurtosis_tolerance(n, declared.kurtosis, sigmas=1.0)
    assert measured.std() == pytest.approx(scatter, rel=std_tolerance(samples, kurtosis=6.0))


@pytest.mark.parametrize(("law", "kurtosis"), [(Normal(), 3.0), (Uniform(-1, 1), 1.8)])
def test_the_std_of_many_samples_scatters_as_the_tolerance_says(law: Initializer, kurtosis: float) -> None:
    n, samples = 500, 4000
    target = Target("w", (samples, n), "float64")
    measured = np.sqrt((law.draw(target, 0).reshape(samples, n) ** 2).mean(axis=1)) / law.law(target).std
    scatter = std_tolerance(n, kurtosis, sigmas=1.0)
    assert measured.std() == pytest.approx(scatter, rel=std_tolerance(samples))


# Wrong laws, each noticed


@dataclass(frozen=True)
class Wrong(Normal):
    """A normal law that one field spoils."""

    law_is: Law | None = None
    spoiled: str = ""

    def law(self, target: Target) -> Law:
        return self.law_is or Law(self.mean, self.std)

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        seed = 0 if self.spoiled == "seed" else seed
        if self.spoiled == "name":
            target = replace(target, name="w")
        if self.spoiled == "region" and elements is not None:
            return super().draw(target, seed, range(len(elements)))
        if self.spoiled == "dtype" and target.dtype == "bfloat16":
            return (super().draw(replace(target, dtype="float32"), seed, elements).view(np.uint32) >> 16).astype("u2")
        if self.spoiled == "state" and elements is None:
            COUNTER.append(0)
            return super().draw(target, seed + len(COUNTER))
        return super().draw(target, seed, elements)


COUNTER: list[int] = []


@pytest.mark.parametrize(
    ("law_is", "message"),
    [
        (Law(0.1, 1.0), r"expected mean 0\.1; got -?0\.0\d+, tolerance=0\.09"),
        (Law(0.0, 1.1), r"expected std 1\.1; got (0\.99|1\.0)\d+, tolerance=0\.07"),
        (Law(0.0, 0.93), r"expected std 0\.93; got"),
        (Law(0.0, 1.0, high=2.0), r"a value \d\.\d+ above its bounds \[-inf, 2\]"),
        (Law(0.0, 1.0, low=-2.0), r"a value \d\.\d+ below its bounds \[-2, inf\]"),
        (Law(0.0, 1.0, kurtosis=1.8), r"expected kurtosis 1\.8 at most; got (2\.9|3\.0)"),
        (Law(0.0, 1.0, fixed_norm=True), r"expected std 1; got .*, tolerance=2\.98e-07"),
        (Law(0.0, math.inf), "tolerance=inf"),
    ],
)
def test_a_law_that_is_not_the_measured_one_is_noticed(law_is: Law, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_law_is_measured(Wrong(law_is=law_is), MATRIX)


def test_the_wrong_std_of_a_heavy_tail_is_noticed() -> None:
    assert_law_is_measured(Sparse(), MATRIX)
    with pytest.raises(AssertionError, match=r"expected std 0\.25"):
        assert_law_is_measured(Sparse(declared_std=0.25), MATRIX)


@dataclass(frozen=True)
class Uniforms(Normal):
    """Of the mean and the std of the normal law that it claims to be."""

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        return Uniform.of_std(self.std).draw(target, seed, elements)


def test_a_distribution_of_the_right_moments_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"distance from its distribution 0; got 0\.0\d+, tolerance=0\.0503"):
        assert_law_is_measured(Uniforms(), MATRIX)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("law", [Normal(0.02), Uniform(-0.1, 0.1)], ids=repr)
def test_values_of_few_random_bits_are_noticed(law: Initializer, dtype: str) -> None:
    def coarse(target: Target, seed: int) -> npt.NDArray[np.float64]:
        """By inversion, from seven random bits."""
        u = (np.random.default_rng(seed).integers(0, 128, target.shape) + 0.5) / 128
        quantile = stats.norm(0, 0.02).ppf if isinstance(law, Normal) else stats.uniform(-0.1, 0.2).ppf
        return np.asarray(quantile(u)).astype("f4" if dtype != "float16" else "f2").astype("f8")

    target = replace(MATRIX, dtype=dtype)
    assert_law_is_measured(law, target)
    with pytest.raises(AssertionError, match=r"distinct values \d+ at least; got \d?\d\d, tolerance"):
        assert_law_is_measured(Foreign(coarse, law), target)


def test_orthogonal_matrices_with_the_signs_of_lapack_are_noticed() -> None:
    def lapack(target: Target, seed: int) -> npt.NDArray[np.float64]:
        return np.asarray(np.linalg.qr(np.random.default_rng(seed).normal(size=target.shape))[0], np.float32)

    assert_haar_distributed(Orthogonal(method="qr"))
    assert_structure_holds(Foreign(lapack, Orthogonal()), MATRIX)
    with pytest.raises(AssertionError, match="expected mean of one place over seeds 0; got -0"):
        assert_haar_distributed(Foreign(lapack, Orthogonal()))


def test_orthogonal_matrices_that_are_all_rotations_are_noticed() -> None:
    def two_by_two(target: Target, seed: int) -> npt.NDArray[np.float64]:
        angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, 4)
        turns = [np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in angles]
        return np.asarray(block_diag(*turns), np.float32)

    with pytest.raises(AssertionError, match=r"expected mean of \(tr Q\)² over seeds 1; got 8"):
        assert_haar_distributed(Foreign(two_by_two, Orthogonal()))


def test_functions_of_other_libraries_go_through_the_suite() -> None:
    def numpy_normal(target: Target, seed: int) -> npt.NDArray[np.float64]:
        return np.random.default_rng(seed).normal(0, 0.02, target.shape)

    kept = Foreign(numpy_normal, Normal(0.02))
    target = replace(MATRIX, dtype="float64")
    assert_law_is_measured(kept, target)
    assert_draws_follow_the_seed(kept, target)
    assert kept.draw(target, 0, range(3, 5)).tolist() == numpy_normal(target, 0).ravel()[3:5].tolist()
    with pytest.raises(AssertionError, match=r"expected std 0\.03; got 0\.0"):
        assert_law_is_measured(Foreign(numpy_normal, Normal(0.03)), target)
    with pytest.raises(AssertionError, match="expected other values for another seed; got the same"):
        assert_draws_follow_the_seed(Foreign(lambda t, _: numpy_normal(t, 0), Normal(0.02)), target)
    with pytest.raises(AssertionError, match=r"expected values of shape \(64, 64\); got \(4096,\)"):
        Foreign(lambda t, seed: numpy_normal(t, seed).ravel(), Normal(0.02)).draw(target, 0)


def test_an_orthogonal_draw_whose_norm_is_one_percent_off_is_noticed() -> None:
    @dataclass(frozen=True)
    class Off(Orthogonal):
        def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
            return Orthogonal(self.gain * 1.01).draw(target, seed, elements)

    with pytest.raises(AssertionError, match=r"expected std 0\.125; got 0\.12625"):
        assert_law_is_measured(Off(), MATRIX)


@dataclass(frozen=True)
class Claims(Normal):
    """A normal law that claims to be more."""

    structure: Structure = Structure.FIXED

    def law(self, target: Target) -> Law:
        return Law(self.mean, self.std, structure=self.structure)


@pytest.mark.parametrize(
    ("structure", "shape", "message"),
    [
        (Structure.FIXED, (64, 64), "under another seed: expected"),
        (Structure.ORTHOGONAL, (16, 8), "expected distance from an orthogonal tensor 0; got"),
        (Structure.ORTHOGONAL, (8, 16), "expected distance from an orthogonal tensor 0; got"),
        (Structure.ISOMETRY, (8, 8, 3), "expected distance from an isometry tensor 0; got"),
    ],
)
def test_a_structure_that_is_only_claimed_is_noticed(
    structure: Structure, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_structure_holds(Claims(structure=structure), Target("w", shape, "float64"))


def test_an_orthogonal_matrix_at_every_tap_is_no_isometry() -> None:
    @dataclass(frozen=True)
    class EveryTap(Initializer):
        def law(self, target: Target) -> Law:
            return Law(0.0, 1 / math.sqrt(8), fixed_norm=True, structure=Structure.ISOMETRY)

        def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
            taps = [Orthogonal().draw(Target(f"{t}", (8, 8), "float64"), seed).reshape(8, 8) for t in range(2)]
            return np.stack(taps, axis=2).ravel()

    with pytest.raises(AssertionError, match="expected distance from an isometry tensor 0; got"):
        assert_structure_holds(EveryTap(), Target("w", (8, 8, 2), "float64"))


@pytest.mark.parametrize(
    ("spoiled", "message"),
    [
        ("seed", "expected other values for another seed; got the same"),
        ("name", "expected other values for another name; got the same"),
        ("region", r"region range\(1365, 2730\): expected .* at position 0; got .*, tolerance=0"),
        ("state", "drawn again: expected"),
    ],
)
def test_a_draw_that_is_not_pure_is_noticed(spoiled: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_draws_are_pure(Wrong(spoiled=spoiled), MATRIX)


def test_a_dtype_that_is_cut_off_instead_of_rounded_is_noticed() -> None:
    with pytest.raises(AssertionError, match="rounded from float32: expected"):
        assert_draws_are_pure(Wrong(spoiled="dtype"), replace(MATRIX, dtype="bfloat16"))


def test_a_float64_draw_of_other_numbers_than_the_float32_one_is_noticed() -> None:
    @dataclass(frozen=True)
    class Other(Normal):
        def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
            return super().draw(target, seed + (target.dtype == "float64"), elements)

    with pytest.raises(AssertionError, match="expected distance from the float32 draw 0; got"):
        assert_draws_are_pure(Other(), replace(MATRIX, dtype="float64"))


def test_a_sampling_that_is_not_what_draw_does_is_noticed() -> None:
    @dataclass(frozen=True)
    class Scaled(Normal):
        def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
            return super().draw(target, seed, elements) * np.float32(2)

    with pytest.raises(AssertionError, match="drawn by its `sampling`: expected"):
        assert_draws_are_pure(Scaled(), MATRIX)


def test_a_draw_of_the_wrong_size_is_noticed() -> None:
    @dataclass(frozen=True)
    class Short(Normal):
        def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
            return super().draw(target, seed, elements)[:-1]

    with pytest.raises(AssertionError, match=r"expected number of values \(4096,\); got \(4095,\)"):
        assert_law_is_measured(Short(), MATRIX)


def test_what_the_law_refuses_the_draw_must_refuse() -> None:
    @dataclass(frozen=True)
    class Careless(Normal):
        def law(self, target: Target) -> Law:
            raise BadInput("no law")

    with pytest.raises(AssertionError, match="expected BadInput from draw, as no law is declared; got values"):
        assert_law_is_measured(Careless(), MATRIX)
    with pytest.raises(AssertionError, match="refuses every target; expected it to accept one"):
        assert_conforms(Careless())
    assert_law_is_measured(Orthogonal(), Target("bias", (8,)))  # law and draw refuse a vector alike
    assert_law_is_measured(Keep(), MATRIX)


def test_an_initializer_that_can_be_changed_is_noticed() -> None:
    @dataclass(unsafe_hash=True)
    class Loose(Initializer):
        std: float = 1.0

        def law(self, target: Target) -> Law:
            return Law(0.0, self.std)

        def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
            return Normal(self.std).draw(target, seed, elements)

    with pytest.raises(AssertionError, match="expected a frozen dataclass; got one whose 'std' can be set"):
        assert_round_trips(Loose())


def test_an_initializer_whose_description_forgets_a_field_is_noticed() -> None:
    @dataclass(frozen=True)
    class Forgetful(Normal):
        hidden: float = field(default=0.0, init=False)

    changed = Forgetful()
    object.__setattr__(changed, "hidden", 1.0)
    with pytest.raises(AssertionError, match="expected an equal one from"):
        assert_round_trips(changed)


def test_a_failure_in_a_table_names_the_line() -> None:
    with pytest.raises(AssertionError, match=r"^bad: .*expected std 2"):
        assert_all_conform({"good": Sparse, "bad": lambda: Sparse(declared_std=2.0)})


def test_fields_that_json_cannot_hold_are_noticed() -> None:
    with pytest.raises(AssertionError, match="expected fields that JSON can hold; got"):
        assert_round_trips(Wrong(law_is=Law(0.0, 2.0)))


def test_the_targets_cover_every_dtype_and_number_of_axes() -> None:
    assert {t.dtype for t in TARGETS} == set(FORMATS)
    assert {len(t.shape) for t in (*TARGETS, *SHAPES)} == set(range(7))
    assert {t.size > 0 for t in SHAPES} == {True, False}
    assert {t.dtype for t in COMPLEX_TARGETS} == {"complex64", "complex128"}
