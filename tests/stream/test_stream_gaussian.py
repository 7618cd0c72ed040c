"""The normal law in decimals, against mpmath and SciPy."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fanin.stream.gaussian import exact_digits, normal_cdf, normal_density, truncated_std

CUTS = [5e-324, 1e-200, 1e-30, 1e-15, 1e-9, 1e-4, 0.01, 0.5, 1.0, 2.0, 3.0, 5.5, 8.0, 8.000001, 8.9, 9.0, 9.1, 40.0]


def reference_std(cut: float) -> float:
    with mpmath.workdps(max(60, int(-4 * math.log10(cut)))):
        c = mpmath.mpf(cut)
        mass = mpmath.erf(c / mpmath.sqrt(2))
        return float(mpmath.sqrt(1 - 2 * c * mpmath.npdf(c) / mass))


@pytest.mark.parametrize("cut", CUTS)
def test_truncated_std_is_that_of_mpmath_to_the_last_bit(cut: float) -> None:
    assert truncated_std(cut) == reference_std(cut)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.floats(1e-6, 12.0))
def test_truncated_std_agrees_with_mpmath_everywhere(cut: float) -> None:
    assert truncated_std(cut) == reference_std(cut)


@pytest.mark.parametrize("cut", [0.1, 1.0, 2.0, 4.0])
def test_truncated_std_is_that_of_scipy(cut: float) -> None:
    assert truncated_std(cut) == pytest.approx(float(stats.truncnorm(-cut, cut).std()), rel=1e-9)


@pytest.mark.parametrize("cut", [1e-12, 1e-6, 1e-4])
def test_a_narrow_cut_leaves_a_uniform_law(cut: float) -> None:
    assert truncated_std(cut) == pytest.approx(cut / math.sqrt(3), rel=1e-8)


@pytest.mark.parametrize("cut", [10.0, 1e300, math.inf])
def test_a_wide_cut_leaves_the_normal_law(cut: float) -> None:
    assert truncated_std(cut) == 1.0


@pytest.mark.parametrize("a", [-8.0, -2.5, -1e-20, 0.0, 1e-20, 0.3, 1.0, 5.0, 8.0])
def test_normal_cdf_has_thirty_digits(a: float) -> None:
    with exact_digits(), mpmath.workdps(60):
        assert abs(normal_cdf(Decimal(a)) - Decimal(str(mpmath.ncdf(a)))) < Decimal("1e-30")
        assert abs(normal_density(Decimal(a)) - Decimal(str(mpmath.npdf(a)))) < Decimal("1e-30")


def test_the_callers_decimal_context_does_not_matter() -> None:
    truncated_std.cache_clear()
    with localcontext() as context:
        context.prec = 3
        assert truncated_std(2.0) == reference_std(2.0)
