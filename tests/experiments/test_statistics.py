"""Known answers, other implementations, and what an interval promises."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from fanin.experiments.statistics import Interval, bootstrap, paired, signed_rank, student_quantile


@pytest.mark.parametrize("n", [5, 8, 13, 20])
def test_wilcoxon_is_that_of_scipy_where_no_sizes_are_equal(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.3, 1, n)
    assert signed_rank(list(differences)) == pytest.approx(stats.wilcoxon(differences, mode="exact").pvalue)


@pytest.mark.parametrize("differences", [[1, 1, -1, 2, 2, 3], [1, 1, 1, 1], [0, 0, 2, -1], [-1, -2, -2, 5, 0, 4, 4]])
def test_wilcoxon_counts_all_signs_where_sizes_are_equal(differences: list[float]) -> None:
    """Mutant: ranks without the mean of ties."""
    kept = [d for d in differences if d]
    ranks = stats.rankdata(np.abs(kept))
    sums = [
        sum(r for r, up in zip(ranks, signs, strict=True) if up)
        for signs in itertools.product([0, 1], repeat=len(kept))
    ]
    seen = sum(r for r, d in zip(ranks, kept, strict=True) if d > 0)
    tails = np.mean([s <= seen for s in sums]), np.mean([s >= seen for s in sums])
    assert signed_rank(differences) == pytest.approx(min(1.0, 2 * min(tails)))


def test_wilcoxon_of_one_sign_is_two_in_two_to_the_n() -> None:
    for n in range(1, 12):
        assert signed_rank([float(i) for i in range(1, n + 1)]) == pytest.approx(min(1.0, 2 / 2**n))


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 9, 10, 31])
@pytest.mark.parametrize("share", [0.6, 0.975, 0.9995])
def test_students_quantiles_are_those_of_scipy(degrees: int, share: float) -> None:
    assert student_quantile(share, degrees) == pytest.approx(stats.t.ppf(share, degrees), rel=1e-9)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 10])
def test_an_interval_covers_the_mean_about_as_often_as_it_says(n: int) -> None:
    """Of plain percentiles of five normal values 82 % do; of these about 92 %, as much as min and max of 5 allow.

    Mutant: of two values no interval reaches beyond them, and half of all do not cover 0.
    """
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        found = bootstrap(list(rng.normal(0, 1, n)))
        covered += found.low <= 0 <= found.high
    assert 0.90 < covered / 400 <= 0.99  # 3 σ are 3 %


def test_the_same_values_give_the_same_interval_and_one_value_none() -> None:
    values = [1.0, 2.0, 4.0, 8.0, 16.0]
    assert bootstrap(values) == bootstrap(values)
    assert bootstrap([3.0]) == Interval(3.0, -math.inf, math.inf)
    assert not bootstrap([3.0]).excludes_zero


def test_a_stricter_level_is_wider() -> None:
    values = list(np.random.default_rng(1).normal(0, 1, 20))
    wide, narrow = bootstrap(values, 0.99), bootstrap(values, 0.8)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_what_diverged_makes_an_end_infinite() -> None:
    found = bootstrap([1.0, 2.0, math.inf])
    assert (found.mean, found.low, found.high) == (math.inf, 1.0, math.inf)
    both = bootstrap([1.0, math.inf, -math.inf])
    assert (both.low, both.high) == (-math.inf, math.inf)


def test_pairs_take_away_what_a_seed_does_to_both() -> None:
    """Mutant: differences of means would drown 0.1 in the seeds' spread of 10."""
    seeds = np.random.default_rng(0).normal(0, 10, 8)
    found = paired(list(seeds - 0.1), list(seeds))
    assert found.difference.mean == pytest.approx(-0.1)
    assert found.difference.excludes_zero
    assert found.p == pytest.approx(2 / 2**8)


def test_two_that_diverge_on_the_same_seed_are_level_there() -> None:
    found = paired([math.inf, 1.0, 2.0], [math.inf, 2.0, 3.0])
    assert found.difference.mean == pytest.approx(-2 / 3)
    assert paired([math.inf, 1.0], [1.0, 2.0]).difference.mean == math.inf
