"""The quadrature against closed forms, mpmath, and rules that are not good enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import mpmath
import numpy as np
import pytest

from fanin.activations import gaussian_expectation, quadrature
from fanin.activations.quadrature import Array
from fanin.errors import BadInput

GAUSSIANS = [(1.0, 0.0), (0.3, -0.7), (2.5, 1.9), (1e-3, 0.0), (1e-3, 2e-3), (1e3, 0.0), (1e3, -800.0), (1.0, -11.5)]


def density(z: float) -> float:
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def mass_above(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2))


def tail_moments(std: float, mean: float, cut: float) -> tuple[float, float, float]:
    """E x^n 1[x > cut] for n = 0, 1, 2."""
    m, c = mean, (cut - mean) / std
    mass = mass_above(c)
    first = m * mass + std * density(c)
    return mass, first, (m * m + std * std) * mass + std * (m + cut) * density(c)


@pytest.mark.parametrize(("std", "mean"), GAUSSIANS)
def test_moments_of_relu_with_any_mean(std: float, mean: float) -> None:
    _, first, second = tail_moments(std, mean, 0.0)
    assert gaussian_expectation(lambda x: np.maximum(x, 0), std=std, mean=mean) == pytest.approx(first, rel=1e-9)
    assert gaussian_expectation(lambda x: np.maximum(x, 0) ** 2, std=std, mean=mean) == pytest.approx(second, rel=1e-9)


@pytest.mark.parametrize(("std", "mean"), GAUSSIANS[:-1])
@pytest.mark.parametrize("cut", [0.3, -1.7, 2.0 / 3])
@pytest.mark.parametrize("told", [True, False])
def test_kinks_and_jumps_of_user_functions_are_found(std: float, mean: float, cut: float, told: bool) -> None:
    def expect(f: Callable[[Array], Array]) -> float:
        return gaussian_expectation(f, std=std, mean=mean, kinks=(cut,) if told else ())

    mass, first, _ = tail_moments(std, mean, cut)
    assert expect(lambda x: np.where(x > cut, 1.0, 0.0)) == pytest.approx(mass, abs=1e-9)
    hinge = first - cut * mass
    assert expect(lambda x: np.maximum(x - cut, 0)) == pytest.approx(hinge, abs=1e-9 * (std + abs(mean) + abs(cut)))
    jump = 0.1 * mean + 0.9 * first
    assert expect(lambda x: np.where(x > cut, x, 0.1 * x)) == pytest.approx(jump, abs=1e-9 * (std + abs(mean)))


@pytest.mark.parametrize("std", [1e-3, 0.1, 1.0, 10.0, 1e3])
@pytest.mark.parametrize("mean", [0.0, 0.7, -25.0])
def test_oscillation(std: float, mean: float) -> None:
    """E sin² = (1 − e^{−2σ²} cos 2μ)/2; at std 1000 there are 4000 periods."""
    expected = -0.5 * math.expm1(-2 * std**2) if mean == 0 else 0.5 * (1 - math.exp(-2 * std**2) * math.cos(2 * mean))
    assert gaussian_expectation(lambda x: np.sin(x) ** 2, std=std, mean=mean) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("std", "mean"), [(1.0, 0.0), (0.2, 1.1), (30.0, -4.0)])
@pytest.mark.parametrize(
    ("f", "exact", "cuts"),
    [
        (lambda x: np.tanh(x) ** 2, lambda x: mpmath.tanh(x) ** 2, [0]),
        (lambda x: x / (1 + np.exp(-x)), lambda x: x / (1 + mpmath.exp(-x)), [0]),
        (lambda x: (x * np.clip(x + 3, 0, 6) / 6) ** 2, lambda x: (x * min(max(x + 3, 0), 6) / 6) ** 2, [-3, 3]),
        (lambda x: np.abs(x) ** 0.5, lambda x: mpmath.sqrt(abs(x)), [0]),
    ],
    ids=["tanh²", "silu", "hardswish²", "√|x|"],
)
def test_against_mpmath(
    f: Callable[[Array], Array],
    exact: Callable[[mpmath.mpf], mpmath.mpf],
    cuts: list[float],
    std: float,
    mean: float,
) -> None:
    near = [cut + side for cut in cuts for side in (-8, -2, 0, 2, 8)]
    bell = [mean + std * z for z in (-13, -6, -2, 0, 2, 6, 13)]
    points = sorted({p for p in near if bell[0] < p < bell[-1]} | set(bell))
    with mpmath.workdps(20):
        expected = mpmath.quad(lambda x: exact(x) * mpmath.npdf(x, mean, std), points)
    assert gaussian_expectation(f, std=std, mean=mean) == pytest.approx(float(expected), rel=1e-10)


def test_growth_beyond_twelve_std_extends_the_reach() -> None:
    assert gaussian_expectation(np.exp, std=9.0) == pytest.approx(math.exp(40.5), rel=1e-9)
    with pytest.raises(BadInput, match="grows too fast"):
        gaussian_expectation(lambda x: np.exp(0.49 * x * x))


def test_a_point_mass() -> None:
    assert gaussian_expectation(np.tanh, std=0.0, mean=0.4) == math.tanh(0.4)


def test_a_function_that_vanishes() -> None:
    assert gaussian_expectation(np.zeros_like) == 0.0
    assert gaussian_expectation(lambda x: np.maximum(x, 0), mean=-50.0) == 0.0


def noise(x: Array) -> Array:
    return np.random.default_rng(len(x)).normal(size=x.shape)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: 1.0, r"elementwise.*shape \(\)"),
        (lambda x: x[:3], r"elementwise.*shape \(3,\)"),
        (lambda x: x + 1j, "complex128"),
        (np.log, "finite; at x = .* it is nan"),
        (lambda x: max(x, 0), "NumPy array; it failed with"),
        (lambda x: x.clamp(0), "has no attribute 'clamp'"),
        (noise, "noise is random, has a pole there, or oscillates"),
    ],
)
def test_functions_that_cannot_be_integrated(f: Callable[[Array], Array], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        gaussian_expectation(f)


@pytest.mark.parametrize(
    "arguments",
    [{"std": -1.0}, {"std": math.nan}, {"mean": math.inf}, {"tolerance": 0.0}, {"tolerance": math.nan}],
)
def test_bad_arguments(arguments: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="got"):
        gaussian_expectation(np.tanh, **arguments)  # type: ignore[arg-type]


def test_mutant_gauss_hermite_misses_the_relu_reference() -> None:
    z, weights = np.polynomial.hermite_e.hermegauss(20)
    mutant = float(np.maximum(z, 0) @ weights) / math.sqrt(2 * math.pi)
    exact = 1 / math.sqrt(2 * math.pi)
    assert abs(mutant - exact) > 5e-3
    assert gaussian_expectation(lambda x: np.maximum(x, 0)) == pytest.approx(exact, abs=1e-12)


def test_mutant_without_cuts_in_x_overlooks_a_narrow_slope(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slope of hardtanh at std 1000: only |x| < 1 counts, 0.08 % of the mass."""

    def slope_squared(x: Array) -> Array:
        return np.where(np.abs(x) < 1, 1.0, 0.0)

    expected = math.erf(1e-3 / math.sqrt(2))
    assert gaussian_expectation(slope_squared, std=1e3) == pytest.approx(expected, rel=1e-9)

    def only_the_bell(kinks: Iterable[float], std: float, means: Array, reach: float) -> Array:
        return np.array([[-reach, 0.0, reach]])

    monkeypatch.setattr(quadrature, "breakpoints", only_the_bell)
    assert gaussian_expectation(slope_squared, std=1e3) == 0
