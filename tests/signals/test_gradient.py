"""Moments of gradients that have a factor, and what is kept of them."""

from __future__ import annotations

import numpy as np
import pytest

from fanin.signals import latent
from fanin.signals.axes import usual
from fanin.signals.flow import Gradient, scaled
from fanin.signals.gradient import GradientMoments, total
from fanin.signals.state import State, gaussian

ONE = np.ones(1)


def through_relu() -> Gradient:
    return scaled(GradientMoments(ONE, 0.3 * ONE, 0.2 * ONE).flow(), (latent.NODES > 0)[None].astype(np.float64))


def with_correlations(positions: float, samples: float) -> State:
    return gaussian(usual((8, 4, 16)), [16], 0.0, 1.0, positions, samples)


def test_the_slope_of_a_rectifier_has_the_kernel_of_cho_and_saul() -> None:
    """E φ'(z₁) φ'(z₂) = (π − arccos ρ)/2π, and E φ'² = 1/2."""
    for rho in (0.0, 0.5, 0.9):
        seen = total(through_relu(), with_correlations(rho, 0.1))
        assert seen.second == pytest.approx(0.5)
        assert seen.across_positions == pytest.approx(0.3 * (np.pi - np.arccos(rho)) / (2 * np.pi), rel=2e-2)


def test_moments_are_those_at_the_state_that_is_asked_for() -> None:
    """They are kept for the next question; another state is another question."""
    gradient, near, far = through_relu(), with_correlations(0.9, 0.9), with_correlations(0.0, 0.0)
    first = total(gradient, near)
    assert total(gradient, near) is first
    assert total(gradient, far).across_positions == pytest.approx(0.3 * 0.25)
    assert total(gradient, near).across_positions == pytest.approx(first.across_positions)


@pytest.mark.parametrize("mean", [0.0, 0.7, -2.0])
def test_squares_of_a_gaussian_are_as_alike_as_their_series_says(mean: float) -> None:
    """Var of the mean of x² over features: in closed form where x is Gaussian, by its series where it is a function."""
    x = gaussian(usual((8, 4, 16)), [16], mean, mean**2 + 1.5, mean**2 + 0.6, mean**2 - 0.3)
    assert x.own_spread == pytest.approx(x.of(x.values).own_spread, rel=1e-10)
    assert x.spread_at_norm == pytest.approx(x.of(x.values).spread_at_norm, rel=1e-10, abs=1e-12)  # 0 at mean 0
