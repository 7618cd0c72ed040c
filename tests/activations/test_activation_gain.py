"""Moments and gains against the reference table, closed forms, and finite differences."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate

from fanin.activations import TABLE, Activation, Gain, activation, gaussian_expectation, moments
from fanin.activations.quadrature import Array
from fanin.errors import BadInput

# E φ, E φ², Var φ, E φ'², 1/√E φ², χ at std 1, mean 0, to the digits printed.
REFERENCE = {
    "relu": (0.398942, 0.500000, 0.340845, 0.500000, 1.414214, 1.000000),
    "leaky": (0.319154, 0.520000, 0.418141, 0.520000, 1.386750, 1.000000),
    "gelu": (0.282095, 0.425221, 0.345644, 0.455851, 1.533530, 1.072032),
    "gelu_tanh": (0.282039, 0.425194, 0.345648, 0.455818, 1.533581, 1.072024),
    "silu": (0.206621, 0.355776, 0.313083, 0.379482, 1.676532, 1.066634),
    "mish": (0.240404, 0.452342, 0.394548, 0.479084, 1.486848, 1.059118),
    "elu": (0.160521, 0.644945, 0.619179, 0.668102, 1.245198, 1.035905),
    "celu": (0.160521, 0.644945, 0.619179, 0.668102, 1.245198, 1.035905),
    "selu": (0.0, 1.000000, 1.000000, 1.071575, 1.000000, 1.071575),
    "tanh": (0.0, 0.394294, 0.394294, 0.464403, 1.592537, 1.177807),
    "erf": (0.0, 0.464559, 0.464559, 0.569410, 1.467167, 1.225700),
    "sigmoid": (0.5, 0.293379, 0.043379, 0.044836, 1.846229, 0.152827),
    "softplus": (0.806059, 0.921246, 0.271515, 0.293379, 1.041867, 0.318459),
    "hardswish": (0.166217, 0.331567, 0.303939, 0.358532, 1.736657, 1.081323),
    "hardtanh": (0.0, 0.516059, 0.516059, 0.682689, 1.392036, 1.322892),
    "softsign": (0.0, 0.183014, 0.183014, 0.227671, 2.337533, 1.244010),
    "relu²": (0.5, 1.5, 1.25, 2.0, 0.816497, 1.333333),
}
# η to five digits and β to four.
FINITE_WIDTH = {
    "relu": (1.0, 5.0),
    "leaky": (1.0, 4.5562),
    "gelu": (1.14406, 6.2156),
    "silu": (1.17259, 6.2617),
    "elu": (0.89097, 2.7760),
    "celu": (0.89097, 2.7760),
    "selu": (0.78265, 1.5031),
    "tanh": (0.46107, 0.6273),
    "erf": (0.40857, 0.5598),
    "sigmoid": (0.10634, 0.5289),
    "softplus": (0.49205, 1.7545),
}
VARIANCE_GAINS = {
    "relu": 1.712859,
    "gelu": 1.700926,
    "silu": 1.787187,
    "elu": 1.270843,
    "tanh": 1.592537,
    "softplus": 1.919126,
    "sigmoid": 4.801313,
    "selu": 1.0,
}
# Hard-coded in timm, from Monte Carlo.
TIMM_GAMMA = {
    "relu": 1.713959,
    "gelu": 1.701504,
    "silu": 1.788129,
    "elu": 1.271600,
    "tanh": 1.593912,
    "softplus": 1.920332,
    "sigmoid": 4.803835,
    "selu": 1.000852,
}
GAUSSIANS = [(1.0, 0.0), (0.3, 0.2), (2.5, -1.9), (0.02, 0.0), (40.0, 30.0)]


def reference(name: str) -> Gain:
    return moments("leaky_relu", negative_slope=0.2) if name == "leaky" else moments(name)


def normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))


def density(z: float) -> float:
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


@pytest.mark.parametrize("name", REFERENCE)
def test_reference_table(name: str) -> None:
    g = reference(name)
    measured = (g.mean, g.second_moment, g.variance, g.derivative_second_moment, g.forward, g.chi)
    assert measured == pytest.approx(REFERENCE[name], abs=0.51e-6)


@pytest.mark.parametrize("name", FINITE_WIDTH)
def test_finite_width_references(name: str) -> None:
    eta, beta = FINITE_WIDTH[name]
    assert reference(name).eta == pytest.approx(eta, abs=0.51e-5)
    assert reference(name).beta == pytest.approx(beta, abs=0.51e-4)


@pytest.mark.parametrize("name", VARIANCE_GAINS)
def test_variance_gains_are_those_of_nf_nets(name: str) -> None:
    assert moments(name).forward_variance == pytest.approx(VARIANCE_GAINS[name], abs=0.51e-6)
    assert 1.0003 < TIMM_GAMMA[name] / moments(name).forward_variance < 1.0009


@pytest.mark.parametrize(("std", "mean"), GAUSSIANS)
@pytest.mark.parametrize("slope", [0.0, 0.2, -0.5, 1.0])
def test_leaky_relu_with_any_mean(std: float, mean: float, slope: float) -> None:
    m = mean / std
    above = (mean**2 + std**2) * normal_cdf(m) + mean * std * density(m)
    below = (mean**2 + std**2) * normal_cdf(-m) - mean * std * density(m)
    first = std * density(m) + mean * normal_cdf(m) - slope * (std * density(m) - mean * normal_cdf(-m))
    g = moments("leaky_relu", negative_slope=slope, std=std, mean=mean)
    assert g.mean == pytest.approx(first, rel=1e-9, abs=1e-12)
    assert g.second_moment == pytest.approx(above + slope**2 * below, rel=1e-9)
    assert g.derivative_second_moment == pytest.approx(normal_cdf(m) + slope**2 * normal_cdf(-m), rel=1e-9)
    assert g.eta == pytest.approx(1.0, rel=1e-9)  # φ(s x) = s φ(x)


@pytest.mark.parametrize("q", [1e-6, 0.09, 1.0, 6.25, 1e6])
def test_erf_closed_forms(q: float) -> None:
    g = moments("erf", std=math.sqrt(q))
    assert g.second_moment == pytest.approx(2 / math.pi * math.asin(2 * q / (1 + 2 * q)), rel=1e-9)
    assert g.derivative_second_moment == pytest.approx(4 / math.pi / math.sqrt(1 + 4 * q), rel=1e-9)
    shifted = moments("erf", std=math.sqrt(q), mean=0.3)
    assert shifted.mean == pytest.approx(math.erf(0.3 / math.sqrt(1 + 2 * q)), rel=1e-9)


@pytest.mark.parametrize("q", [1e-4, 0.09, 1.0, 6.25, 1e4])
def test_gelu_closed_forms(q: float) -> None:
    a = q / (1 + q)
    g = moments("gelu", std=math.sqrt(q))
    variance = q / (2 * math.pi) * (math.pi - a - math.acos(a) + 2 * a * math.sqrt((1 - a) / (1 + a)))
    slope = 0.5 + (-math.acos(a) + a * (5 * q + 3) / (1 + 2 * q) ** 1.5) / (2 * math.pi)
    assert g.mean == pytest.approx(math.sqrt(q * a / (2 * math.pi)), rel=1e-9)
    assert g.variance == pytest.approx(variance, rel=1e-9)
    assert g.derivative_second_moment == pytest.approx(slope, rel=1e-9)


@pytest.mark.parametrize("std", [1e-3, 1.0, 20.0])
def test_softplus_slope_is_the_sigmoid(std: float) -> None:
    assert moments("softplus", std=std).derivative_second_moment == pytest.approx(
        moments("sigmoid", std=std).second_moment, rel=1e-10
    )


@pytest.mark.parametrize("std", [1e-3, 0.1, 10.0, 1e3])
@pytest.mark.parametrize("name", [name for name in TABLE if name != "sin"])  # QUADPACK cannot follow 4000 periods
def test_every_activation_at_every_scale_against_quadpack(name: str, std: float) -> None:
    phi = TABLE[name]
    g = moments(phi, std=std)
    # Beyond 40 a tail is 0 in float64: an interval that is nearly all 0 leads the integrator astray.
    edges = sorted({0.0, 8.5 * std, *(d * s for d in (1, 3, 20, 40) for s in (1.0, std) if d * s < 8.5 * std)})
    edges = [-e for e in reversed(edges[1:])] + edges

    def quadpack(f: Activation, *, power: int, slope: bool = False) -> float:
        def integrand(x: float) -> float:
            y = (f.derivative if slope else f.function)(np.array([x]))[0]
            return float(y) ** power * density(x / std) / std

        return math.fsum(integrate.quad(integrand, a, b, epsabs=0, epsrel=1e-9)[0] for a, b in pairwise(edges))

    assert g.second_moment == pytest.approx(quadpack(phi, power=2), rel=1e-8)
    assert g.derivative_second_moment == pytest.approx(quadpack(phi, power=2, slope=True), rel=1e-8)


@pytest.mark.parametrize(("std", "mean"), GAUSSIANS[:3])
@pytest.mark.parametrize("name", TABLE)
def test_relations_between_the_fields(name: str, std: float, mean: float) -> None:
    g = moments(name, std=std, mean=mean)
    assert g.variance == pytest.approx(g.second_moment - g.mean**2, rel=1e-8, abs=1e-10)
    assert g.fourth_moment >= g.second_moment**2
    assert g.forward**2 * g.second_moment == pytest.approx(1)
    assert g.backward**2 * g.derivative_second_moment == pytest.approx(1)
    assert g.forward_variance**2 * g.variance == pytest.approx(1)
    step = 1e-4
    up, down = (moments(name, std=std * s, mean=mean * s).second_moment for s in (1 + step, 1 - step))
    slope = math.log(up / down) / (2 * math.log((1 + step) / (1 - step)))
    assert g.eta == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_small_variance_does_not_cancel() -> None:
    """Var sigmoid(x) = q/16 (1 + O(q)): E φ² − (E φ)² would leave no digit of it at std 1e-8."""
    assert moments("sigmoid", std=1e-3).variance == pytest.approx(1e-6 / 16, rel=1e-5)
    assert moments("sigmoid", std=1e-8).variance == pytest.approx(1e-16 / 16, rel=1e-4)


def test_a_user_function_with_a_jump() -> None:
    def bent(z: Array) -> Array:
        return np.where(z > 0.3, z, 0.1 * z)

    mass, above = normal_cdf(-0.3), normal_cdf(-0.3) + 0.3 * density(0.3)
    g = moments(bent)
    assert g.mean == pytest.approx(0.9 * density(0.3), abs=1e-8)
    assert g.second_moment == pytest.approx(0.01 + 0.99 * above, abs=1e-8)
    assert g.derivative_second_moment == pytest.approx(0.01 + 0.99 * mass, abs=1e-8)


@pytest.mark.parametrize("name", ["relu", "silu", "tanh", "hardtanh", "gelu"])
@pytest.mark.parametrize("std", [0.1, 1.0, 10.0])
def test_user_functions_agree_with_the_table(name: str, std: float) -> None:
    numeric = moments(TABLE[name].function, std=std).to_dict()
    exact = moments(name, std=std).to_dict()
    for key in exact.keys() - {"name", "error"}:
        assert numeric[key] == pytest.approx(exact[key], rel=1e-8, abs=1e-12), key
    assert numeric["error"] == 1e-8  # of the derivative by differences


def test_a_point_mass() -> None:
    g = moments("sigmoid", std=0.0)
    assert (g.mean, g.second_moment, g.variance, g.derivative_second_moment) == (0.5, 0.25, 0.0, 0.0625)


def test_no_gain_where_the_activation_is_zero() -> None:
    dead = moments("relu", mean=-50.0)
    assert dead.second_moment == 0
    for ratio in ("forward", "forward_variance", "backward", "chi", "eta", "beta"):
        with pytest.raises(BadInput, match="relu has no gain here"):
            getattr(dead, ratio)
    assert dead.to_dict()["forward"] is None
    assert str(dead) == "relu: E φ 0, E φ² 0, Var φ 0, E φ'² 0"


def test_a_constant_has_no_variance_gain() -> None:
    constant = moments(lambda x: np.full_like(x, 0.1))
    assert constant.forward == pytest.approx(10)
    with pytest.raises(BadInput, match="φ − E φ is 0"):
        _ = constant.forward_variance


def test_a_gain_prints_and_serialises() -> None:
    g = moments("tanh")
    assert (
        str(g)
        == "tanh: E φ 0, E φ² 0.394294, Var φ 0.394294, E φ'² 0.464403, gain 1.59254, χ 1.17781, η 0.461071, β 0.627291"
    )
    assert json.loads(json.dumps(g.to_dict()))["forward"] == g.forward


def test_moments_are_computed_once() -> None:
    def mine(x: Array) -> Array:
        return np.tanh(x)

    assert moments("gelu", std=1.25) is moments("gelu", std=1.25)
    assert moments("leaky_relu", negative_slope=0.125) is not moments("leaky_relu", negative_slope=0.25)
    assert moments(mine) is moments(mine)


def test_a_function_without_a_hash() -> None:
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, x: Array) -> Array:
            return np.maximum(x, 0)

    assert moments(Unhashable()).forward == pytest.approx(math.sqrt(2))


def test_a_bad_user_function_is_named() -> None:
    def pole(x: Array) -> Array:
        return np.log(x + 2)

    with pytest.raises(BadInput, match=r"pole must be finite; at x = -"):
        moments(pole)


def test_mutant_derivative_not_squared() -> None:
    """E φ' equals E φ'² for ReLU, so ReLU alone would not notice."""
    for name, noticed in (("relu", False), ("gelu", True), ("tanh", True), ("selu", True)):
        mutant = gaussian_expectation(TABLE[name].derivative)
        assert (abs(mutant - REFERENCE[name][3]) > 1e-3) is noticed


def test_mutant_derivative_of_another_function() -> None:
    mutant = replace(activation("gelu"), derivative=TABLE["gelu_tanh"].derivative)
    assert abs(moments(mutant).derivative_second_moment - REFERENCE["gelu"][3]) > 1e-5
