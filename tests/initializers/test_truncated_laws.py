"""Truncated normal laws: cuts on one side or both, bounds, and what others mean by the same words."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from scipy import stats

from fanin.errors import BadInput
from fanin.initializers import (
    CutNormal,
    Initializer,
    Target,
    TruncatedNormal,
    jax_truncated_normal,
    keras_truncated_normal,
    timm_truncated_normal,
    torch_truncated_normal,
)
from fanin.stream.gaussian import truncated_moments, truncated_std
from fanin.testing import assert_conforms

TARGET = Target("weight", (1 << 16,), "float64")
CUTS = [(-2.0, 2.0), (-1.0, 3.0), (0.0, 1.0), (1.5, 4.0), (-4.0, -3.0), (2.0, 2.01), (-0.1, 40.0), (-12.0, 0.5)]
TOO_FAR = [(-4.0, -3.0), (2.0, 2.01)]
DISTANCE = math.sqrt(math.log(2 / 1e-9) / (2 * TARGET.size))  # Dvoretzky, Kiefer, Wolfowitz and Massart


@pytest.mark.parametrize("cuts", CUTS, ids=str)
def test_the_moments_are_those_of_an_integral(cuts: tuple[float, float]) -> None:
    low, high = (max(min(cut, 12.0), -12.0) for cut in cuts)
    with mpmath.workdps(40):
        points = mpmath.linspace(low, high, 13)
        mass = mpmath.quad(mpmath.npdf, points)
        mean = mpmath.quad(lambda x: x * mpmath.npdf(x), points) / mass
        second, fourth = (mpmath.quad(lambda x, k=k: (x - mean) ** k * mpmath.npdf(x), points) / mass for k in (2, 4))
    ours = truncated_moments(*cuts)
    assert ours.mean == pytest.approx(float(mean), rel=1e-14, abs=1e-16)
    assert ours.std == pytest.approx(math.sqrt(second), rel=1e-14)
    assert ours.kurtosis == pytest.approx(float(fourth / second**2), rel=1e-14)


def test_symmetric_cuts_have_the_std_of_the_symmetric_formula() -> None:
    for cut in (0.01, 0.5, 2.0, 5.0, 13.0):
        assert truncated_moments(-cut, cut).std == pytest.approx(truncated_std(cut), rel=1e-12)
        assert truncated_moments(-cut, cut).mean == 0.0
    assert TruncatedNormal(cut_in_sigmas=(-3, 3)) == TruncatedNormal(cut_in_sigmas=3)


@pytest.mark.parametrize("cuts", [c for c in CUTS if c not in TOO_FAR], ids=str)
def test_a_draw_between_any_cuts_has_the_mean_and_std_that_are_asked_for(cuts: tuple[float, float]) -> None:
    what = TruncatedNormal(0.02, 0.5, cuts)
    assert_conforms(what)
    assert_conforms(TruncatedNormal(0.02, 0.0, cuts))
    law = what.law(TARGET)
    parent = 0.02 / math.sqrt(stats.truncnorm(*cuts).var())
    shift = 0.5 - parent * float(stats.truncnorm(*cuts).mean())
    assert (law.mean, law.std) == (0.5, 0.02)
    reference: Any = stats.truncnorm(*cuts, loc=shift, scale=parent)
    assert stats.kstest(what.draw(TARGET, seed=0), reference.cdf).statistic < DISTANCE


@pytest.mark.parametrize(("low", "high", "std"), [(-0.04, 0.04, 0.02), (0, 1, 0.1), (-1, 3, 1.15), (-9, 9, 1)])
def test_bounds_and_a_realised_std_make_the_law_between_them(low: float, high: float, std: float) -> None:
    what = TruncatedNormal.within(low, high, std)
    law = what.law(TARGET)
    assert (law.low, law.high, law.std) == pytest.approx((low, high, std), rel=1e-9, abs=1e-12)
    assert_conforms(what)


# What others mean


@pytest.mark.parametrize(
    ("what", "cuts", "std", "mean"),
    [
        (torch_truncated_normal(0.5, 0.1, -1, 0.75), (-2.2, 1.3), 0.5, 0.1),
        (torch_truncated_normal(1.0, 0.0, 1.5, 4.0), (1.5, 4.0), 1.0, 0.0),
        (torch_truncated_normal(1.0, 0.0, 4.0, 5.0), (4.0, 5.0), 1.0, 0.0),
        (torch_truncated_normal(2.0, 1.0, -math.inf, -5.0), (-math.inf, -3.0), 2.0, 1.0),
        (torch_truncated_normal(0.02), (-100, 100), 0.02, 0.0),
        (timm_truncated_normal(0.02, 0.1), (-2, 2), 0.02, 0.1),
        (timm_truncated_normal(0.02, 0.1, -1, 3), (-1, 3), 0.02, 0.1),
        (jax_truncated_normal(0.1, -3, 1), (-3, 1), 0.1, 0.0),
        (keras_truncated_normal(0.05, 1.0), (-2, 2), 0.05, 1.0),
    ],
    ids=repr,
)
def test_each_spelling_is_the_law_that_its_library_means(
    what: Initializer, cuts: tuple[float, float], std: float, mean: float
) -> None:
    reference: Any = stats.truncnorm(*cuts, loc=mean, scale=std)
    law = what.law(TARGET)
    assert (law.mean, law.std) == pytest.approx((reference.mean(), reference.std()), rel=1e-9, abs=1e-12)
    assert stats.kstest(what.draw(TARGET, seed=0), reference.cdf).statistic < DISTANCE
    assert_conforms(what)


def test_the_torch_spelling_is_what_torch_draws() -> None:
    theirs = torch.nn.init.trunc_normal_(torch.empty(TARGET.shape), 0.1, 0.5, -1.0, 0.75).numpy()
    ours = torch_truncated_normal(0.5, 0.1, -1.0, 0.75).draw(TARGET, seed=0)
    assert stats.ks_2samp(theirs, ours).pvalue > 1e-6
    assert np.abs(theirs).max() <= 1.0


def test_a_window_so_narrow_that_its_law_is_uniform_has_the_moments_of_one() -> None:
    for low in (-3.0, 0.0, 2.0):
        high = low + 2.0**-24
        mean, std, kurtosis = truncated_moments(low, high)
        assert mean == pytest.approx((low + high) / 2, rel=1e-15)
        assert std == pytest.approx(2.0**-24 / math.sqrt(12), rel=1e-6)
        assert kurtosis == 1.8


# What cannot be


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TruncatedNormal(cut_in_sigmas=(1, 1)), "expected a low cut below the high one; got 1 and 1"),
        (lambda: TruncatedNormal(cut_in_sigmas=(2, -2)), "expected a low cut below the high one; got 2 and -2"),
        (lambda: TruncatedNormal(cut_in_sigmas=(0, math.inf)), "expected finite cuts"),
        (lambda: TruncatedNormal(cut_in_sigmas=(0, math.nan)), "expected a low cut below the high one"),
        (lambda: TruncatedNormal(cut_in_sigmas=(0, 1e-5)), "leave less than 0.0002 of them"),
        (lambda: TruncatedNormal(cut_in_sigmas=(5, 9)), "too little to draw from with 32 bits"),
        (lambda: TruncatedNormal(cut_in_sigmas=(2, 2.01)), "too coarse in float32. Use cuts around 0, or CutNormal"),
        (lambda: TruncatedNormal(cut_in_sigmas=(1, 2, 3)), "cut_in_sigmas must be a finite number"),  # type: ignore[arg-type]
        (lambda: TruncatedNormal(cut_in_sigmas="ab"), "expected a low cut below the high one"),  # type: ignore[arg-type]
        (lambda: TruncatedNormal.within(1, 0, 0.1), "expected low < high and 0 < std < "),
        (lambda: TruncatedNormal.within(0, 1, 0.3), "Use Uniform"),
        (lambda: TruncatedNormal.within(0, 1, 0.0), "0 < std"),
        (lambda: CutNormal(0.0), "std must be above 0; got 0. Use Constant"),
        (lambda: CutNormal(-1.0), "std must be a finite number, at least 0"),
        (lambda: CutNormal(low=1, high=1), "expected low < high; got low=1, high=1"),
        (lambda: CutNormal(low=math.nan), "expected low < high; got low=nan"),
        (lambda: CutNormal(low="a"), "expected low < high; got low='a'"),  # type: ignore[arg-type]
        (lambda: CutNormal(0.02, low=1, high=2), "no random word falls between 50.0 and 100.0 sigmas"),
        (lambda: jax_truncated_normal(0.0), "std must be above 0"),
        (lambda: keras_truncated_normal("x"), "Expected numbers for std, mean, low, high; got 'x'"),  # type: ignore[arg-type]
    ],
)
def test_cuts_that_leave_nothing_are_refused_at_construction(build: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        build()


def test_bounds_between_which_the_dtype_has_no_number_are_refused_at_the_draw() -> None:
    what = CutNormal(0.53, 0.0, 1.22536, 1.2253600049014401)
    assert 1.22536 <= what.draw(TARGET, seed=0, elements=range(1)) <= 1.2253600049014401
    with pytest.raises(BadInput, match=r"no float32 number of the normal law lies in \[1.22536, 1.22536000490"):
        what.draw(Target("weight", (9,)), seed=0)
