"""Kernels: closed forms against quadrature, both against mpmath, and what holds for every activation."""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanin.activations import TABLE, Activation, activation, derivative_kernel, gaussian_expectation, kernel, moments
from fanin.activations.closed_forms import CLOSED_FORMS, closed_form
from fanin.activations.kernels import kernel_by_quadrature
from fanin.activations.quadrature import Array
from fanin.errors import BadInput

KNOWN = [phi for phi in TABLE.values() if closed_form(phi)] + [activation("leaky_relu", negative_slope=-0.5)]
FORMS = [phi for phi in KNOWN if dict(phi.parameters).get("negative_slope", -0.5) == -0.5]  # one of each form
STDS = [(1.0, 1.0), (0.3, 2.0), (5.0, 5.0), (0.05, 0.05)]
NEAR_AND_FAR = [0.0, 0.3, -0.5, 0.999, 1 - 1e-10, 1.0, -1.0]
# E φ(u) φ(v)/E φ² at std 1 and correlation 1/2, six digits.
AT_ONE_HALF = {
    "relu": 0.608998,
    "gelu": 0.534533,
    "silu": 0.514846,
    "elu": 0.503583,
    "celu": 0.503583,
    "selu": 0.490569,
    "tanh": 0.472551,
    "erf": 0.465704,
    "sigmoid": 0.925180,
    "softplus": 0.846764,
}


def bent(x: Array) -> Array:
    """A kink and a jump that nobody names."""
    return np.where(x > 0.3, x, 0.1 * x)


def size(phi: Activation, std: tuple[float, float], mean: tuple[float, float], derivative: bool) -> float:
    """√(E φ(u)² E φ(v)²), of which errors are a part."""
    f = phi.derivative if derivative else phi.function
    both = (gaussian_expectation(lambda x: f(x) ** 2, std=s, mean=m) for s, m in zip(std, mean, strict=True))
    return math.sqrt(math.prod(both))


def test_all_closed_forms_are_used() -> None:
    assert {phi.name for phi in KNOWN} == {
        *("identity", "relu", "relu_squared", "leaky_relu", "prelu", "erf", "gelu", "sin"),
    }
    assert len(CLOSED_FORMS) == 7
    assert {getattr(phi.function, "func", phi.function) for phi in FORMS} == CLOSED_FORMS.keys()
    assert closed_form(activation(np.sin)) is not None
    assert closed_form(TABLE["tanh"]) is None


@pytest.mark.parametrize("derivative", [False, True])
@pytest.mark.parametrize("phi", FORMS, ids=str)
def test_closed_forms_are_what_quadrature_finds(phi: Activation, derivative: bool) -> None:
    forms = closed_form(phi)
    assert forms is not None
    for n, std in enumerate(STDS):
        for c in NEAR_AND_FAR if n == 0 else NEAR_AND_FAR[n::3]:
            exact = forms[derivative](std[0] ** 2, std[1] ** 2, c * std[0] * std[1])
            found = kernel_by_quadrature(phi, c, std, (0.0, 0.0), derivative)
            assert abs(found - exact) <= 1e-9 * size(phi, std, (0.0, 0.0), derivative), (std, c)


@pytest.mark.parametrize("name", AT_ONE_HALF)
def test_reference_correlations(name: str) -> None:
    found = kernel(name, 0.5) / moments(name).second_moment
    assert found == pytest.approx(AT_ONE_HALF[name], abs=0.51e-6)


def test_reference_correlation_of_leaky_relu() -> None:
    leaky = activation("leaky_relu", negative_slope=0.2)
    assert kernel(leaky, 0.5) / moments(leaky).second_moment == pytest.approx(0.567076, abs=0.51e-6)


def plane(
    f: Callable[[mpmath.mpf], mpmath.mpf], c: float, std: tuple[float, float], mean: tuple[float, float]
) -> float:
    """E f(u) f(v), v split into its regression on u and a rest: another integral, by another rule."""
    root = math.sqrt(1 - c * c)

    def over_line(g: Callable[[mpmath.mpf], mpmath.mpf]) -> mpmath.mpf:
        return mpmath.quad(lambda z: g(z) * mpmath.npdf(z), [-8, -3, 3, 8], method="gauss-legendre", maxdegree=4)

    def rest(z: mpmath.mpf) -> mpmath.mpf:
        return over_line(lambda y: f(mean[1] + std[1] * (c * z + root * y)))

    return float(over_line(lambda z: f(mean[0] + std[0] * z) * rest(z)))


def test_against_mpmath() -> None:
    std, mean = (0.7, 1.2), (0.4, -0.3)
    assert kernel("tanh", -0.6, std=std, mean=mean) == pytest.approx(plane(mpmath.tanh, -0.6, std, mean), abs=1e-8)


@pytest.mark.parametrize("c", [0.5, -0.9, 0.9999])
@pytest.mark.parametrize("name", ["hardtanh", "hardsigmoid"])
def test_kinks_away_from_zero(name: str, c: float) -> None:
    """E φ'(u) φ'(v) of a ramp is the mass of a rectangle: a line integral of normal probabilities."""
    phi = TABLE[name]
    low, high = phi.kinks
    own = math.sqrt(1 - c * c)

    def inside(z: Array) -> Array:
        upper, lower = ((edge - c * z) / own for edge in (high, low))
        mass = [
            0.5 * (math.erf(a / math.sqrt(2)) - math.erf(b / math.sqrt(2))) for a, b in zip(upper, lower, strict=True)
        ]
        return np.where((z > low) & (z < high), mass, 0.0)

    expected = (
        gaussian_expectation(inside, kinks=(low, high, low / c, high / c)) * float(phi.derivative(np.zeros(1))[0]) ** 2
    )
    assert derivative_kernel(name, c) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=8, deadline=None)
@given(
    name=st.sampled_from(["tanh", "silu", "selu", "gelu", "relu"]),
    c=st.floats(-1, 1),
    stds=st.tuples(st.floats(0.05, 4), st.floats(0.05, 4)),
    means=st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
)
def test_a_kernel_is_symmetric_and_bounded(
    name: str, c: float, stds: tuple[float, float], means: tuple[float, float]
) -> None:
    found = kernel(name, c, std=stds, mean=means)
    bound = size(TABLE[name], stds, means, derivative=False)
    assert abs(found) <= bound * (1 + 1e-9) + 1e-30  # of what lies farther out than the quadrature's nodes
    assert found == pytest.approx(kernel(name, c, std=stds[::-1], mean=means[::-1]), abs=1e-9 * bound)


@pytest.mark.parametrize("name", ["tanh", "silu", "hardswish", "sigmoid"])
def test_ends_and_middle(name: str) -> None:
    """c = 1 is E φ², c = 0 is (E φ)², and the slope between is the derivative kernel (Price 1958)."""
    seen = moments(name, std=1.3, mean=0.2)
    assert kernel(name, 1.0, std=1.3, mean=0.2) == pytest.approx(seen.second_moment, rel=1e-9)
    assert kernel(name, 0.0, std=1.3, mean=0.2) == pytest.approx(seen.mean**2, rel=1e-9)
    assert derivative_kernel(name, 1.0, std=1.3, mean=0.2) == pytest.approx(seen.derivative_second_moment, rel=1e-9)
    up, down = (kernel(name, 0.6 + h, std=1.3, mean=0.2) for h in (1e-4, -1e-4))
    slope = (up - down) / 2e-4 / 1.3**2
    assert derivative_kernel(name, 0.6, std=1.3, mean=0.2) == pytest.approx(slope, rel=1e-6)


def test_a_user_function_with_a_jump() -> None:
    c = 0.5
    shifted = kernel(bent, c)
    told = kernel(Activation("told", bent, TABLE["identity"].derivative, kinks=(0.3,)), c)
    assert shifted == pytest.approx(told, abs=1e-6)
    slopes = derivative_kernel(bent, c)
    mass = 0.5 * math.erfc(0.3 / math.sqrt(2))
    # 0.1 everywhere, 0.9 more above 0.3: the quadrant's mass by its own integral.
    own = math.sqrt(1 - c * c)

    def above(z: Array) -> Array:
        tail = [0.5 * math.erfc((0.3 - c * v) / own / math.sqrt(2)) for v in z]
        return np.where(z > 0.3, tail, 0.0)

    quadrant = gaussian_expectation(above, kinks=(0.3,))
    assert slopes == pytest.approx(0.01 + 2 * 0.09 * mass + 0.81 * quadrant, abs=1e-6)


@pytest.mark.parametrize("near", [1e-3, 1e-6, 1e-9, 1e-12])
def test_a_jump_at_zero_that_nobody_names(near: float) -> None:
    """E sign u sign v = (2/π) arcsin c = 1 − (2/π) arccos c."""
    fallen = 2 / math.pi * 2 * math.asin(math.sqrt(near / 2))
    assert kernel(np.sign, 1 - near) == pytest.approx(1 - fallen, abs=1e-9)


def test_a_point_mass_is_a_constant() -> None:
    assert kernel("sigmoid", 0.7, std=(0.0, 1.0)) == pytest.approx(0.5 * moments("sigmoid").mean, rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"correlation": 1.1}, r"A correlation lies in \[-1, 1\]; got 1.1"),
        ({"correlation": math.nan}, "got nan"),
        ({"correlation": 0.5, "std": (1.0, -1.0)}, "at least 0"),
        ({"correlation": 0.5, "mean": math.inf}, "finite mean"),
    ],
)
def test_bad_arguments(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        kernel("tanh", **arguments)


def test_a_pole_is_named() -> None:
    def pole(x: Array) -> Array:
        return 1 / x

    with pytest.raises(BadInput, match="has a pole there"):
        moments(pole)
    with pytest.raises(BadInput, match="has a pole there"):
        kernel(pole, 0.5)


def test_the_error_is_estimated() -> None:
    assert moments("tanh").error < 1e-10
    assert moments(np.tanh).error == 1e-8  # φ' by differences
    assert moments(bent).error <= 1e-8
