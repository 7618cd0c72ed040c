"""Fixed points, depth scales and the edge of chaos: reference values, first principles, simulated nets."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import product

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from fanin.activations import TABLE, edge_of_chaos, mean_field, moments, phase_diagram
from fanin.activations.mean_field import correlation_map, depth_scale, jumps
from fanin.activations.quadrature import Array
from fanin.activations.roots import root
from fanin.errors import BadInput

BIASES = (0.01, 0.05, 0.1, 0.2, 0.5)
# σ_w² and q* for each of BIASES, to the digits printed; `test_the_reference_edges_are_edges` checks them by QUADPACK.
EDGE: dict[str, tuple[tuple[float, float], ...]] = {
    "tanh": ((1.42421, 0.27330), (1.76095, 0.57005), (1.98607, 0.80580), (2.28515, 1.16450), (2.84317, 1.97103)),
    "erf": ((1.11428, 0.25321), (1.37584, 0.51718), (1.55212, 0.72636), (1.78818, 1.04593), (2.23366, 1.77206)),
    "elu": ((1.38333, 0.43783), (1.53372, 1.30091), (1.60674, 2.21278), (1.68184, 3.98334), (1.77848, 9.77592)),
    "selu": ((0.76023, 0.30894), (0.90177, 0.82730), (0.98033, 1.31350), (1.07036, 2.15815), (1.20589, 4.47732)),
    "silu": ((3.31259, 0.25971), (2.72861, 0.82658), (2.43955, 1.55191), (2.18669, 3.33674), (1.99747, 12.10524)),
    "gelu": ((2.98280, 0.18348), (2.30252, 0.72204), (2.07668, 1.63243), (1.97067, 4.47095), (1.96122, 21.96186)),
    "mish": ((2.37460, 0.26316), (2.10480, 0.90540), (2.00685, 1.77159), (1.94971, 3.95935), (1.94276, 15.04755)),
    "hardtanh": ((1.05206, 0.25915), (1.16554, 0.46386), (1.26341, 0.63216), (1.41062, 0.89721), (1.71719, 1.52227)),
}
UNSTABLE = {("silu", b) for b in BIASES} | {("gelu", b) for b in BIASES[:3]} | {("mish", b) for b in BIASES[:2]}
# χ = 1 at q* = 1: σ_w² = 1/E φ'², σ_b² = 1 − σ_w² E φ², and Q'(1) = σ_w² E φ² η.
AT_ONE = {
    "gelu": (2.1937, 0.0672, 1.067),
    "silu": (2.6352, 0.0625, 1.099),
    "mish": (2.0873, 0.0558, 1.016),
    "elu": (1.4968, 0.0347, 0.860),
    "tanh": (2.1533, 0.1510, 0.391),
    "selu": (0.9332, 0.0668, 0.730),
    "erf": (1.7562, 0.1841, 0.333),
}
# σ_b² = 0.05: σ_w² → q*, χ, c*, ξ_c.
TANH = {
    1.0: (0.193593, 0.759032, 1, 3.627),
    1.3: (0.315316, 0.880164, 1, 7.834),
    1.5: (0.418037, 0.938636, 1, 15.79),
    1.7: (0.533076, 0.986741, 1, 74.9),
    2.0: (0.721762, 1.047666, 0.744082, 25.21),
    2.5: (1.063958, 1.133516, 0.446804, 11.80),
    4.0: (2.195494, 1.342402, 0.165065, 6.98),
}
ERF = {1.0: (0.288427, 0.867595, 1, 7.041), 2.0: (0.965955, 1.154653, 0.434481, 10.19)}
NORMAL_ROOT = math.sqrt(2)


def gelu_slope(x: float) -> float:
    return 0.5 * math.erfc(-x / NORMAL_ROOT) + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def mish_gate(x: float) -> float:
    return math.tanh(math.log1p(math.exp(x)))


SELU, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
# Each with its derivative, from the definitions.
PLAINLY: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "tanh": (math.tanh, lambda x: 1 - math.tanh(x) ** 2),
    "erf": (math.erf, lambda x: 2 / math.sqrt(math.pi) * math.exp(-x * x)),
    "elu": (lambda x: x if x > 0 else math.expm1(x), lambda x: 1.0 if x > 0 else math.exp(x)),
    "selu": (
        lambda x: SELU * (x if x > 0 else SELU_ALPHA * math.expm1(x)),
        lambda x: SELU * (1.0 if x > 0 else SELU_ALPHA * math.exp(x)),
    ),
    "silu": (lambda x: x * logistic(x), lambda x: logistic(x) * (1 + x * logistic(-x))),
    "gelu": (lambda x: x * 0.5 * math.erfc(-x / NORMAL_ROOT), gelu_slope),
    "mish": (lambda x: x * mish_gate(x), lambda x: mish_gate(x) + x * logistic(x) * (1 - mish_gate(x) ** 2)),
    "hardtanh": (lambda x: max(-1.0, min(1.0, x)), lambda x: float(abs(x) < 1)),
}
POINTS = [(name, b, want) for name, row in EDGE.items() for b, want in zip(BIASES, row, strict=True)]
SCALES = [("tanh", w, want) for w, want in TANH.items()] + [("erf", w, want) for w, want in ERF.items()]


@pytest.mark.parametrize("name", EDGE)
def test_reference_edges(name: str) -> None:
    for bias_var, want in zip(BIASES, EDGE[name], strict=True):
        edge = edge_of_chaos(name, bias_var=bias_var)
        assert len(edge.points) == 1
        assert (edge.weight_var, edge.variance) == pytest.approx(want, abs=0.6e-5)
        assert edge.stable is ((name, bias_var) not in UNSTABLE)


@pytest.mark.parametrize(("name", "bias_var", "want"), POINTS)
def test_the_reference_edges_are_edges(name: str, bias_var: float, want: tuple[float, float]) -> None:
    """σ_w² E φ'² = 1 and σ_w² E φ² + σ_b² = q* by QUADPACK, of functions written out here, but for the last digit."""
    function, slope = PLAINLY[name]
    weight_var, q = want
    std = math.sqrt(q)
    kinks = sorted({0.0, *(edge for edge in (-1 / std, 1 / std) if abs(edge) < 12)})

    def expected(f: Callable[[float], float]) -> float:
        def integrand(z: float) -> float:
            return f(std * z) ** 2 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

        return float(integrate.quad(integrand, -12, 12, points=kinks, limit=200, epsabs=1e-12)[0])

    rounding = 0.5e-5 * (1 / weight_var + 1 / q)
    assert weight_var * expected(slope) == pytest.approx(1, abs=rounding)
    assert weight_var * expected(function) + bias_var == pytest.approx(q, abs=q * rounding)


@pytest.mark.parametrize("name", AT_ONE)
def test_the_edge_at_unit_variance(name: str) -> None:
    weight_var, bias_var, slope = AT_ONE[name]
    seen = moments(name)
    exact = 1 / seen.derivative_second_moment
    assert exact == pytest.approx(weight_var, abs=0.6e-4)
    assert 1 - exact * seen.second_moment == pytest.approx(bias_var, abs=0.6e-4)
    (point,) = edge_of_chaos(name, bias_var=1 - exact * seen.second_moment).points
    assert (point.weight_var, point.variance) == pytest.approx((exact, 1), rel=1e-8)
    assert point.slope == pytest.approx(slope, abs=0.6e-3)
    assert point.stable is (slope < 1)


@pytest.mark.parametrize(("q", "weight_var", "bias_var"), [(1 / 64, 1.030558, 4.65e-6), (1 / 16, 1.115381, 2.369e-4)])
def test_the_edge_of_dynamical_isometry(q: float, weight_var: float, bias_var: float) -> None:
    """Tanh at q* = 1/L, as Pennington et al. 2017 start nets of L layers."""
    seen = moments("tanh", std=math.sqrt(q))
    assert 1 / seen.derivative_second_moment == pytest.approx(weight_var, abs=0.6e-6)
    exact = q - seen.second_moment / seen.derivative_second_moment
    assert exact == pytest.approx(bias_var, rel=2e-3)
    assert edge_of_chaos("tanh", bias_var=exact).variance == pytest.approx(q, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "weight_var", "bias_var", "variance", "chi"),
    [("gelu", 2.23413, 0.05, 0.1645, 0.73425), ("silu", 2.67022, 0.05, 0.2043, 0.78131)],
)
def test_where_the_start_leaves_its_basin_is_no_edge(
    name: str, weight_var: float, bias_var: float, variance: float, chi: float
) -> None:
    """At σ_w² = (1 − σ_b²)/E φ² a variance of 1 stays; a bit below it falls to q*, where χ < 1, above it grows."""
    assert (1 - bias_var) / moments(name).second_moment == pytest.approx(weight_var, abs=0.6e-5)
    below = mean_field(name, weight_var=weight_var * 0.999, bias_var=bias_var)
    above = mean_field(name, weight_var=weight_var * 1.001, bias_var=bias_var)
    assert (below.phase, above.phase) == ("ordered", "unbounded")
    stable = mean_field(name, weight_var=weight_var, bias_var=bias_var, start=0.5)
    assert (stable.variance, stable.chi) == pytest.approx((variance, chi), abs=0.6e-4)


@pytest.mark.parametrize(("name", "weight_var"), [("tanh", 1.5), ("elu", 1.4), ("gelu", 1.9)])
def test_how_fast_the_variance_settles(name: str, weight_var: float) -> None:
    """ξ_q against the variance map itself: what is left of the distance to q* after ten layers more."""
    seen = mean_field(name, weight_var=weight_var, bias_var=0.05)
    assert seen.variance_depth is not None
    q, left = seen.variance * 1.001, []
    for _ in range(11):
        left.append(q - seen.variance)
        q = weight_var * moments(name, std=math.sqrt(q)).second_moment + 0.05
    assert left[-1] / left[0] == pytest.approx(math.exp(-10 / seen.variance_depth), rel=0.01)


@pytest.mark.parametrize(("name", "weight_var", "want"), SCALES)
def test_reference_depth_scales(name: str, weight_var: float, want: tuple[float, ...]) -> None:
    seen = mean_field(name, weight_var=weight_var, bias_var=0.05)
    found = (seen.variance, seen.chi, seen.correlation)
    assert found == pytest.approx(want[:3], abs=0.6e-6)
    assert seen.correlation_depth == pytest.approx(want[3], rel=2e-3)
    assert seen.phase == ("ordered" if want[2] == 1 else "chaotic")


def test_gelu_against_mpmath() -> None:
    """Closed forms of E φ² and E φ'² (no integral of ours), solved to twenty digits."""
    with mpmath.workdps(20):

        def second(q: mpmath.mpf) -> mpmath.mpf:
            a = q / (1 + q)
            variance = mpmath.pi - a - mpmath.acos(a) + 2 * a * mpmath.sqrt((1 - a) / (1 + a))
            return q / (2 * mpmath.pi) * (variance + a)

        def slopes(q: mpmath.mpf) -> mpmath.mpf:
            a = q / (1 + q)
            return mpmath.mpf(1) / 2 + (a * (5 * q + 3) / (1 + 2 * q) ** 1.5 - mpmath.acos(a)) / (2 * mpmath.pi)

        q = mpmath.findroot(lambda q: q - second(q) / slopes(q) - mpmath.mpf("0.05"), 0.7)
        weight_var = 1 / slopes(q)
    edge = edge_of_chaos("gelu", bias_var=0.05)
    assert (edge.weight_var, edge.variance) == pytest.approx((float(weight_var), float(q)), rel=1e-8)


def test_hardtanh_against_mpmath() -> None:
    with mpmath.workdps(20):

        def slopes(q: mpmath.mpf) -> mpmath.mpf:
            return mpmath.erf(1 / mpmath.sqrt(2 * q))

        def second(q: mpmath.mpf) -> mpmath.mpf:
            return q * slopes(q) - mpmath.sqrt(2 * q / mpmath.pi) * mpmath.exp(-1 / (2 * q)) + 1 - slopes(q)

        q = mpmath.findroot(lambda q: q - second(q) / slopes(q) - mpmath.mpf("0.05"), 0.46)
        weight_var = 1 / slopes(q)
    edge = edge_of_chaos("hardtanh", bias_var=0.05)
    assert (edge.weight_var, edge.variance) == pytest.approx((float(weight_var), float(q)), rel=1e-8)
    assert edge.weight_var == pytest.approx(1.16554, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "weight_var"), [("tanh", 1.0), ("erf", math.pi / 4), ("gelu", 4.0), ("selu", 0.4767710)]
)
def test_without_biases_the_edge_is_the_slope_at_zero(name: str, weight_var: float) -> None:
    edge = edge_of_chaos(name)
    assert edge.weight_var == pytest.approx(weight_var, rel=1e-6)
    assert edge.variance == 0
    assert edge.stable is (name != "gelu")


@pytest.mark.parametrize(
    ("name", "parameters", "weight_var"),
    [
        ("relu", {}, 2.0),
        ("leaky_relu", {"negative_slope": 0.2}, 1.9230769),
        ("identity", {}, 1.0),
    ],
)
def test_homogeneous_activations_have_a_whole_line(name: str, parameters: dict[str, float], weight_var: float) -> None:
    edge = edge_of_chaos(name, **parameters)
    assert edge.every_variance
    assert edge.weight_var == pytest.approx(weight_var)
    assert "at every q" in str(edge)
    none = edge_of_chaos(name, bias_var=0.05, **parameters)
    assert not none.points
    assert "Use bias_var=0" in str(none)
    with pytest.raises(BadInput, match=r"no edge of chaos at bias_var=0\.05"):
        _ = none.weight_var
    assert json.loads(json.dumps(none.to_dict()))["points"] == []


def test_softplus_has_none() -> None:
    assert "grows even without biases" in edge_of_chaos("softplus", bias_var=0.05).reason


@pytest.mark.parametrize(
    ("weight_var", "bias_var", "phase", "variance"),
    [
        (1.0, 0.05, "ordered", 0.1),
        (1.9, 0.05, "ordered", 1.0),
        (2.0, 0.0, "critical", 1.0),
        (2.0, 0.05, "unbounded", math.inf),
        (1.0, 0.0, "ordered", 0.0),
        (2.5, 0.0, "unbounded", math.inf),
    ],
)
def test_relu_has_its_closed_form(weight_var: float, bias_var: float, phase: str, variance: float) -> None:
    """q* = σ_b²/(1 − σ_w²/2), χ = σ_w²/2."""
    seen = mean_field("relu", weight_var=weight_var, bias_var=bias_var)
    assert seen.phase == phase
    assert seen.variance == pytest.approx(variance, rel=1e-9)
    assert seen.chi is None or seen.chi == pytest.approx(weight_var / 2)


@pytest.mark.parametrize(("name", "stable"), [("tanh", True), ("gelu", False)])
def test_a_fixed_point_at_one_is_found(name: str, stable: bool) -> None:
    """Weights of the forward gain keep a second moment of 1, which lies on the grid of the search."""
    seen = mean_field(name, weight_var=moments(name).forward ** 2)
    assert [point.variance for point in seen.fixed_points] == pytest.approx([0, 1], abs=1e-9)
    assert seen.fixed_points[1].stable is stable
    assert seen.fixed_points[1].slope == pytest.approx(moments(name).eta)


def test_where_the_variance_goes_depends_on_where_it_starts() -> None:
    low, high = (mean_field("gelu", weight_var=2.25, bias_var=0.05, start=q) for q in (0.5, 1.5))
    assert [point.stable for point in low.fixed_points] == [True, False]
    assert low.variance == pytest.approx(low.fixed_points[0].variance)
    assert high.phase == "unbounded"
    assert str(high) == "gelu, σ_w² 2.25, σ_b² 0.05: unbounded, q* inf"
    assert high.to_dict()["phase"] == "unbounded"


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(["tanh", "erf", "relu", "gelu", "elu"]),
    weight_var=st.floats(0.1, 4),
    bias_var=st.floats(1e-3, 0.5),
)
def test_a_fixed_point_is_one(name: str, weight_var: float, bias_var: float) -> None:
    seen = mean_field(name, weight_var=weight_var, bias_var=bias_var)
    for point in seen.fixed_points:
        next_ = weight_var * moments(name, std=math.sqrt(point.variance)).second_moment + bias_var
        assert next_ == pytest.approx(point.variance, rel=1e-8)
    if seen.correlation is not None:
        kept = correlation_map(TABLE[name], weight_var, bias_var, seen.variance, seen.correlation)
        assert kept == pytest.approx(seen.correlation, abs=1e-7)
        assert (seen.correlation == 1) is (seen.chi is not None and seen.chi <= 1 + 1e-7)


def test_a_simulated_net_goes_where_the_field_says() -> None:
    """Two inputs through 30 layers: their variance and correlation; 6 standard errors, and 5/width for finite width."""
    width, nets, w, b = 250, 16, 4.0, 0.05
    want = mean_field("tanh", weight_var=w, bias_var=b)
    ends = []
    for seed in range(nets):
        draw = np.random.default_rng(seed)
        h = draw.normal(size=(2, width))
        for _ in range(30):
            z = np.tanh(h) @ draw.normal(0, math.sqrt(w / width), (width, width)) + draw.normal(0, math.sqrt(b), width)
            h = z
        q = (h**2).mean(axis=1)
        ends.append((q.mean(), (h[0] * h[1]).mean() / math.sqrt(q[0] * q[1])))
    measured, error = np.mean(ends, axis=0), np.std(ends, axis=0, ddof=1) / math.sqrt(nets)
    assert want.correlation is not None
    assert np.all(np.abs(measured - [want.variance, want.correlation]) < 6 * error + 5 / width), (measured, error)


def test_user_functions_and_their_jumps() -> None:
    def mine(x: Array) -> Array:
        return np.tanh(x)

    edge = edge_of_chaos(mine, bias_var=0.05)
    assert edge.weight_var == pytest.approx(1.760954, abs=2e-6)
    assert mean_field(mine, weight_var=1.0, bias_var=0.05).correlation_depth == pytest.approx(3.62698, abs=1e-4)


def test_a_jump_parts_inputs_however_alike() -> None:
    """Sign: E φ(u) φ(v) = (2/π) arcsin c, so that c* = (1.3 · 2/π arcsin c* + 0.05)/1.35."""
    seen = mean_field(np.sign, weight_var=1.3, bias_var=0.05)
    assert (seen.jumps, seen.phase, seen.chi) == (True, "chaotic", 0.0)
    c = root(lambda c: (1.3 * 2 / math.pi * math.asin(c) + 0.05) / 1.35 - c, 0.0, 0.9)
    assert seen.correlation == pytest.approx(c, abs=1e-6)
    slope = 1.3 / 1.35 * 2 / math.pi / math.sqrt(1 - c * c)
    assert seen.correlation_depth == pytest.approx(depth_scale(slope), rel=1e-4)
    edge = edge_of_chaos(np.sign, bias_var=0.05)
    assert "φ jumps" in edge.reason
    assert phase_diagram(np.sign, weight_vars=[3.0], bias_vars=[0.5]).critical_line == ()
    assert not any(jumps(phi) for phi in TABLE.values())


def test_a_flat_function_has_no_edge() -> None:
    assert "flat" in edge_of_chaos(np.zeros_like, bias_var=0.05).reason
    assert phase_diagram(np.zeros_like, weight_vars=[3.0], bias_vars=[0.5]).critical_line == ()


def test_the_phase_diagram_agrees_with_the_exact_field() -> None:
    diagram = phase_diagram("tanh", weight_vars=[0.5, 1.5, 2.5], bias_vars=[0.01, 0.2])
    for (j, b), (i, w) in product(enumerate(diagram.bias_vars), enumerate(diagram.weight_vars)):
        assert diagram.chi[j][i] == pytest.approx(mean_field("tanh", weight_var=w, bias_var=b).chi, rel=5e-3)
    line = phase_diagram("tanh", weight_vars=[3.0], bias_vars=[0.5]).critical_line
    at = min(range(len(line)), key=lambda i: abs(line[i][1] - 0.05))
    assert line[at][0] == pytest.approx(1.76, abs=0.01)
    assert phase_diagram("relu", weight_vars=[3.0], bias_vars=[0.5]).critical_line == ((2.0, 0.0),)
    default = phase_diagram("tanh", bias_vars=[0.05])
    assert len(default.weight_vars) == 60
    assert default.weight_vars[-1] == pytest.approx(2 / moments("tanh").derivative_second_moment, rel=0.01)
    assert math.isinf(phase_diagram("gelu", weight_vars=[4.0], bias_vars=[0.5]).chi[0][0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight_var": -1.0}, "weight_var is a variance"),
        ({"weight_var": 1.0, "bias_var": math.nan}, "bias_var is a variance"),
        ({"weight_var": 1.0, "start": -1.0}, "start is a variance"),
    ],
)
def test_bad_arguments(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        mean_field("tanh", **arguments)
    with pytest.raises(BadInput, match="bias_var is a variance"):
        edge_of_chaos("tanh", bias_var=-1.0)


def test_roots_and_scales() -> None:
    assert root(lambda x: x**3 - 2, 0, 2) == pytest.approx(2 ** (1 / 3), abs=1e-12)
    assert root(lambda x: x, 0, 1) == 0
    assert depth_scale(-0.5) == depth_scale(0.5) == pytest.approx(1 / math.log(2))
