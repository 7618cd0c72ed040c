"""Does each law have the moments and the distribution that it declares? And would a wrong one be caught?

The tolerances follow from the number of draws: 6 standard errors, or a false alarm of 10^-9. On 2^30 values
`scripts/stream_statistics.py` does more of the same.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from fanin.stream import Domain, Key, key, normal, truncated_normal, uniform, words

N = 1 << 20
FALSE_ALARM = 1e-9
WEIGHT = key(0, "weight")
STD, BOUND, LOW, HIGH = 0.02, 0.05, -2.0, 1.0

Values = npt.NDArray[Any]


def mean_is(values: Values, mean: float, std: float) -> bool:
    return abs(float(values.mean(dtype=np.float64)) - mean) <= 6 * std / math.sqrt(len(values))


def std_is(values: Values, std: float, kurtosis: float) -> bool:
    tolerance = 6 * math.sqrt((kurtosis - 1) / (4 * len(values)))
    return abs(float(values.std(dtype=np.float64)) / std - 1) <= tolerance


def moment_is(values: Values, k: int, law: Any) -> bool:
    """The k-th moment about the declared mean; its standard error follows from the 2k-th."""
    mean, std = law.mean(), law.std()
    expected, of_square = (law.expect(lambda x, k=k: ((x - mean) / std) ** k) for k in (k, 2 * k))
    measured = (((values.astype(np.float64) - mean) / std) ** k).mean()
    return bool(abs(measured - expected) <= 6 * math.sqrt((of_square - expected**2) / len(values)))


def fills_equal_bins(values: Values, law: Any, bins: int = 1024) -> bool:
    """χ² over bins of equal probability."""
    counts = np.bincount(
        np.minimum((law.cdf(values.astype(np.float64)) * bins).astype(np.intp), bins - 1), minlength=bins
    )
    expected = len(values) / bins
    statistic = float(((counts - expected) ** 2).sum()) / expected
    return bool(stats.chi2.sf(statistic, bins - 1) > FALSE_ALARM)


def follows(values: Values, law: Any) -> bool:
    """Kolmogorov–Smirnov, with the bound of Dvoretzky, Kiefer, Wolfowitz and Massart."""
    distance = stats.kstest(values.astype(np.float64), law.cdf).statistic
    return bool(distance <= math.sqrt(math.log(2 / FALSE_ALARM) / (2 * len(values))))


def uncorrelated(a: Values, b: Values) -> bool:
    return bool(abs(np.corrcoef(a.astype(np.float64), b.astype(np.float64))[0, 1]) <= 6 / math.sqrt(len(a)))


def independent(a: Values, b: Values) -> bool:
    """As far as the correlations of the values and of their squares tell; both laws have mean 0."""
    return uncorrelated(a, b) and uncorrelated(a**2, b**2)


def neighbours_are_independent(*neighbours: Key) -> bool:
    """Each stream and each other, on a quarter of the draws."""
    drawn = [normal(k, range(N // 4), STD) for k in neighbours]
    return all(independent(a, b) for a, b in itertools.combinations(drawn, 2))


NORMAL = stats.norm(0, STD)
UNIFORM = stats.uniform(-BOUND, 2 * BOUND)
TRUNCATED = stats.truncnorm(LOW, HIGH, 0, STD)


@pytest.fixture(scope="module")
def normals() -> Values:
    return normal(WEIGHT, range(N), STD)


@pytest.fixture(scope="module")
def uniforms() -> Values:
    return uniform(WEIGHT, range(N), BOUND)


@pytest.fixture(scope="module")
def truncated() -> Values:
    return truncated_normal(WEIGHT, range(N), STD, LOW, HIGH)


def test_moments(normals: Values, uniforms: Values, truncated: Values) -> None:
    assert mean_is(normals, 0.0, STD)
    assert std_is(normals, STD, kurtosis=3.0)
    assert mean_is(uniforms, 0.0, BOUND / math.sqrt(3))
    assert std_is(uniforms, BOUND / math.sqrt(3), kurtosis=1.8)
    mean, variance, excess = (float(moment) for moment in TRUNCATED.stats("mvk"))
    assert mean_is(truncated, mean, math.sqrt(variance))
    assert std_is(truncated, math.sqrt(variance), kurtosis=3 + excess)


@pytest.mark.parametrize("k", [3, 4])
def test_skewness_and_kurtosis(k: int, normals: Values, uniforms: Values, truncated: Values) -> None:
    for values, law in ((normals, NORMAL), (uniforms, UNIFORM), (truncated, TRUNCATED)):
        assert moment_is(values, k, law)


def test_mean_and_center_shift_the_law() -> None:
    assert mean_is(normal(WEIGHT, range(N), STD, mean=0.3), 0.3, STD)
    assert mean_is(uniform(WEIGHT, range(N), BOUND, center=0.3), 0.3, BOUND / math.sqrt(3))


def test_distributions(normals: Values, uniforms: Values, truncated: Values) -> None:
    for values, law in ((normals, NORMAL), (uniforms, UNIFORM), (truncated, TRUNCATED)):
        assert fills_equal_bins(values, law)
        assert follows(values, law)


def test_neighbouring_elements_are_independent(normals: Values) -> None:
    quarter = normals[: N // 4]
    assert all(independent(quarter[lag:], quarter[:-lag]) for lag in (*range(1, 65), 1024))


def test_neighbouring_seeds_are_independent() -> None:
    assert neighbours_are_independent(*(key(seed, "weight") for seed in (0, 1, 2, 3, 1 << 32, 1 << 64, 1 << 127)))


def test_names_that_differ_in_a_character_are_independent() -> None:
    names = ("layers.1.weight", "layers.2.weight", "layers.11.weight", "layers.1.weight_v", "layers.1.weight_g")
    assert neighbours_are_independent(*(key(0, name) for name in names))


def test_draws_are_independent() -> None:
    assert neighbours_are_independent(*(key(0, "weight", draw=draw) for draw in range(4)))


def test_domains_are_independent() -> None:
    assert neighbours_are_independent(*(key(0, "weight", domain=domain) for domain in Domain))


class TestMutantsAreCaught:
    def test_dropped_sign(self, normals: Values) -> None:
        assert not mean_is(np.abs(normals), 0.0, STD)
        assert not fills_equal_bins(np.abs(normals), NORMAL)

    def test_lost_std(self, normals: Values) -> None:
        assert not std_is(normals / STD, STD, kurtosis=3.0)

    def test_std_off_by_one_percent(self, normals: Values) -> None:
        assert not std_is(normals * 1.01, STD, kurtosis=3.0)

    def test_variance_taken_for_the_std(self) -> None:
        assert not std_is(normal(WEIGHT, range(N), STD**2), STD, kurtosis=3.0)

    def test_truncation_without_cut(self, normals: Values) -> None:
        assert not follows(normals, TRUNCATED)

    def test_truncation_by_clipping(self, normals: Values) -> None:
        assert not follows(np.clip(normals, LOW * STD, HIGH * STD), TRUNCATED)

    def test_cuts_that_are_not_in_sigmas(self) -> None:
        assert not follows(truncated_normal(WEIGHT, range(N), STD, LOW / STD, HIGH / STD), TRUNCATED)

    def test_coarse_quantile(self) -> None:
        eight_bits = (words(WEIGHT, range(N)) >> np.uint32(24)).astype(np.float64)
        assert not fills_equal_bins(NORMAL.ppf((eight_bits + 0.5) / 256), NORMAL)

    def test_bound_taken_for_the_std(self, uniforms: Values) -> None:
        assert not std_is(uniforms, BOUND, kurtosis=1.8)

    def test_one_sided_uniform(self, uniforms: Values) -> None:
        assert not follows((uniforms + BOUND) / 2, UNIFORM)

    def test_repeated_words(self, normals: Values) -> None:
        assert not uncorrelated(np.repeat(normals, 2)[1:], np.repeat(normals, 2)[:-1])

    def test_tails_that_are_cut(self, normals: Values) -> None:
        assert not moment_is(np.clip(normals, -3 * STD, 3 * STD), 4, NORMAL)

    def test_mirrored_skewness(self, truncated: Values) -> None:
        assert not moment_is(2 * TRUNCATED.mean() - truncated, 3, TRUNCATED)

    def test_same_magnitudes(self, normals: Values) -> None:
        signs = np.where(uniform(key(0, "signs"), range(N), 1.0) < 0, -1, 1)
        assert uncorrelated(normals, signs * normals)
        assert not independent(normals, signs * normals)

    def test_name_that_is_not_hashed(self, normals: Values) -> None:
        assert not uncorrelated(normals, normal(key(0, "weight"), range(N), STD))
