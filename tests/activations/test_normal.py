"""Φ and its density against 40 digits, in the middle and where a tail is all that is left of it."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from fanin.activations.normal import normal_cdf, normal_cdf_and_density

EPSILON = 2.0**-52
X = np.concatenate([np.linspace(-37, 9, 1001), [0.0, -1e-9, 1e-9, -1e-300]])


def exact(x: np.ndarray) -> np.ndarray:
    with mpmath.workdps(40):
        return np.array([float(mpmath.erfc(-mpmath.mpf(v) / mpmath.sqrt(2)) / 2) for v in x.tolist()])


def test_it_is_as_exact_as_its_exponential() -> None:
    """The rounding of x² is relative to x²/2, the logarithm of the tail; the fit adds a few roundings of its own."""
    error = np.abs(normal_cdf(X) / exact(X) - 1)
    assert (error <= EPSILON * (5 + X * X / 2)).all()


def test_both_are_what_each_is() -> None:
    below, density = normal_cdf_and_density(X)
    np.testing.assert_array_equal(below, normal_cdf(X))
    np.testing.assert_allclose(density, np.exp(-X * X / 2) / math.sqrt(2 * math.pi), rtol=4 * EPSILON)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (0,)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    assert normal_cdf(np.zeros(shape)).shape == shape


def test_both_ends_and_what_is_no_number() -> None:
    np.testing.assert_array_equal(normal_cdf(np.array([-np.inf, -40.0, 40.0, np.inf])), [0, 0, 1, 1])
    assert math.isnan(float(normal_cdf(np.array(np.nan))))
