"""Named cases against closed forms and against what independent libraries compute or draw."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import stats

from fanin.errors import BadInput, UnknownName
from fanin.graph import Fans, Parts
from fanin.initializers import (
    ALL,
    Constant,
    CutNormal,
    Initializer,
    Keep,
    Normal,
    Ones,
    Orthogonal,
    Sparse,
    Target,
    TruncatedNormal,
    Uniform,
    VarianceScaling,
    Zeros,
    glorot_normal,
    glorot_truncated_normal,
    glorot_uniform,
    he_normal,
    he_truncated_normal,
    he_uniform,
    initializer,
    lecun_normal,
    lecun_truncated_normal,
    lecun_uniform,
    scaled_normal,
    scaled_uniform,
    torch_uniform,
)
from fanin.testing import assert_draws_are_pure, assert_law_is_measured, std_tolerance

FAN_IN, FAN_OUT = 216, 288
CONV = Target("conv.weight", (32, 24, 3, 3), "float32", Fans(FAN_IN, FAN_OUT))
DTYPES = ["float32", "float64", "float16", "bfloat16"]
SHAPES = {
    "vector": (9000,),
    "tall": (150, 60),
    "wide": (60, 150),
    "conv": (32, 8, 5, 7),
    "depthwise": (512, 1, 3, 3),
    "one row": (1, 4000),
    "one": (1, 1),
}
FANS = [Fans(64, 64), Fans(9, 4.5), Fans(1, 2000)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "shape"),
    # A 512 × 1 convolution that is an isometry is made of 512 × 512 matrices: too slow for what it shows.
    [(n, s) for n in ALL for s in SHAPES if (n, s) != ("isometric_convolution", "depthwise")],
)
def test_the_declared_law_is_measured_in_every_shape_dtype_and_fan(name: str, shape: str, dtype: str) -> None:
    """Every shape and every dtype meets every fan: they go round, rather than each with each."""
    i = (list(SHAPES).index(shape) + DTYPES.index(dtype)) % len(FANS)
    target = Target(f"{shape}.{i}", SHAPES[shape], dtype, FANS[i])
    assert_law_is_measured(initializer(name), target, seed=i)
    assert_draws_are_pure(initializer(name), target, seed=7)


@pytest.mark.parametrize(
    "what",
    [
        Constant(-0.3),
        Normal(0.02, mean=1.0),
        Normal(0.0),
        Uniform(2.0, 3.0),
        Uniform.of_std(0.1),
        TruncatedNormal(0.02),
        TruncatedNormal(0.5, mean=-1.0, cut_in_sigmas=0.7),
        TruncatedNormal(0.5, cut_in_sigmas=1e-4),
        TruncatedNormal(0.5, cut_in_sigmas=50.0),
        Orthogonal(1.7),
        Orthogonal(0.0),
        Sparse(0.0, std=0.5),
        Sparse(0.3, axis=1),
        Sparse(0.99, axis=None),
        Sparse(0.5, axis=-1),
        VarianceScaling(0.0, distribution="uniform"),
        *(VarianceScaling(1.3, mode, law) for mode in ("fan_out", "fan_geo_avg") for law in ("normal", "uniform")),
        VarianceScaling(1.3, "fan_avg", "truncated_normal"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_declared_law_is_measured_with_other_arguments(what: Initializer, dtype: str) -> None:
    target = replace(CONV, dtype=dtype)
    assert_law_is_measured(what, target, seed=3)
    assert_draws_are_pure(what, target, seed=3)


# Closed forms


@pytest.mark.parametrize(
    ("what", "std"),
    [
        (he_normal(), math.sqrt(2 / FAN_IN)),
        (he_uniform(), math.sqrt(2 / FAN_IN)),
        (he_normal(0.2), math.sqrt(2 / 1.04 / FAN_IN)),
        (he_normal(1.0), math.sqrt(1 / FAN_IN)),
        (glorot_normal(), math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (glorot_uniform(5 / 3), 5 / 3 * math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (lecun_normal(), math.sqrt(1 / FAN_IN)),
        (lecun_uniform(), math.sqrt(1 / FAN_IN)),
        (torch_uniform(), math.sqrt(1 / 3 / FAN_IN)),
        (he_truncated_normal(mode="fan_out"), math.sqrt(2 / FAN_OUT)),
        (glorot_truncated_normal(), math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (lecun_truncated_normal(), math.sqrt(1 / FAN_IN)),
        (scaled_normal(4), math.sqrt(2 / (FAN_IN * 4))),
        (scaled_uniform(0.5), math.sqrt(2 / (FAN_IN * 0.5))),
        (he_normal(fan_in=8), 0.5),
        (glorot_normal(fan_in=2), math.sqrt(2 / (2 + FAN_OUT))),
        (glorot_uniform(fan_in=2, fan_out=6), 0.5),
        (VarianceScaling(mode="fan_out", fan_in=2), math.sqrt(1 / FAN_OUT)),
        (VarianceScaling(3, "fan_out"), 3 / math.sqrt(FAN_OUT)),
        (VarianceScaling(3, "fan_geo_avg", "truncated_normal"), 3 / (FAN_IN * FAN_OUT) ** 0.25),
        (Orthogonal(2.0), 2.0 / math.sqrt(216)),
        (Sparse(0.9, std=2.0), 2.0 * math.sqrt(3 / 32)),
        (Sparse(0.9, std=2.0, axis=2), 0.0),
        (Uniform(-3, 5), 8 / math.sqrt(12)),
        (Normal(0.3), 0.3),
        (TruncatedNormal(0.3), 0.3),
        (Zeros(), 0.0),
        (Ones(), 0.0),
    ],
    ids=repr,
)
def test_the_std_is_that_of_the_closed_form(what: Initializer, std: float) -> None:
    assert what.law(CONV).std == pytest.approx(std, rel=1e-12)


@pytest.mark.parametrize(
    ("what", "bound"),
    [
        (glorot_uniform(), math.sqrt(6 / (FAN_IN + FAN_OUT))),
        (he_uniform(), math.sqrt(6 / FAN_IN)),
        (lecun_uniform(), math.sqrt(3 / FAN_IN)),
        (torch_uniform(), 1 / math.sqrt(FAN_IN)),
        (scaled_uniform(3), math.sqrt(6 / (FAN_IN * 3))),
        (TruncatedNormal(0.02, cut_in_sigmas=2.0), 2 * 0.02 / 0.8796256610342398),
    ],
    ids=repr,
)
def test_the_bounds_are_those_of_the_closed_form(what: Initializer, bound: float) -> None:
    law = what.law(CONV)
    assert [law.low, law.high] == pytest.approx([-bound, bound], rel=1e-12)


def test_torch_uniform_is_the_law_that_torch_draws() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(64, 2000)
    theirs = layer.weight.detach().numpy().ravel()
    target = Target("weight", (2000, 64), "float32", Fans(64, 2000))
    ours = torch_uniform().draw(target, seed=0)
    law = torch_uniform().law(target)
    assert np.abs(theirs).max() == pytest.approx(law.high, rel=1e-4)
    assert np.abs(theirs).max() <= law.high
    assert theirs.std() == pytest.approx(law.std, rel=std_tolerance(theirs.size, kurtosis=1.8))
    assert stats.ks_2samp(theirs, ours).pvalue > 1e-6


@pytest.mark.parametrize(
    ("what", "theirs"),
    [
        (he_normal(), lambda w: torch.nn.init.kaiming_normal_(w, nonlinearity="relu")),
        (he_uniform(0.3), lambda w: torch.nn.init.kaiming_uniform_(w, a=0.3)),
        (glorot_normal(), torch.nn.init.xavier_normal_),
        (glorot_uniform(2.0), lambda w: torch.nn.init.xavier_uniform_(w, gain=2.0)),
    ],
    ids=["he normal", "he uniform", "glorot normal", "glorot uniform"],
)
def test_on_a_plain_matrix_the_law_is_that_of_torch(what: Initializer, theirs: Callable[..., Any]) -> None:
    torch.manual_seed(1)
    drawn = theirs(torch.empty(200, 100)).numpy().ravel()
    ours = what.draw(Target("weight", (200, 100), "float32", Fans(100, 200)), seed=1)
    assert drawn.std() == pytest.approx(ours.std(), rel=2 * std_tolerance(drawn.size))
    assert stats.ks_2samp(drawn, ours).pvalue > 1e-6


# Truncation


@pytest.mark.parametrize("cut", [1e-4, 0.01, 0.3, 1.0, 2.0, 3.0, 6.0, 8.5, 100.0])
def test_a_truncated_draw_follows_the_law_of_scipy(cut: float) -> None:
    what = TruncatedNormal(std=0.02, mean=0.5, cut_in_sigmas=cut)
    target = Target("weight", (1 << 16,), "float64")
    parent = 0.02 / float(stats.truncnorm(-cut, cut).std()) if cut > 0.1 else 0.02 * math.sqrt(3) / cut
    reference: Any = stats.truncnorm(-cut, cut, loc=0.5, scale=parent)
    values: npt.NDArray[np.float64] = what.draw(target, seed=0)
    distance = math.sqrt(math.log(2 / 1e-9) / (2 * len(values)))  # Dvoretzky, Kiefer, Wolfowitz and Massart
    assert stats.kstest(values, reference.cdf).statistic < distance
    assert values.std() == pytest.approx(0.02, rel=std_tolerance(len(values)))
    assert what.law(target).high - 0.5 == pytest.approx(cut * parent, rel=1e-5)


# Orthogonal


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (30, 30), (50, 20), (20, 50), (1, 9), (9, 1), (16, 3, 3, 3), (64, 4, 2, 2)])
def test_orthogonal_weights_are_orthonormal(shape: tuple[int, ...], dtype: str) -> None:
    drawn = Orthogonal(gain=1.5).draw(Target("weight", shape, dtype), seed=0)
    if dtype == "bfloat16":
        drawn = (drawn.astype(np.uint32) << np.uint32(16)).view(np.float32)
    q = drawn.astype(np.float64).reshape(shape[0], -1)
    gram = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    unit = {"float64": 1e-13, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype]
    # |ΔQᵀQ| ≤ 2 |Q||ΔQ|: each entry a sum over one column of at most unit roundoff of 1.5²
    assert np.abs(gram - 1.5**2 * np.eye(len(gram))).max() <= 1.5**2 * unit


@pytest.mark.parametrize("shape", [(30, 30), (50, 20), (20, 50), (16, 3, 3, 3)])
def test_qr_draws_another_matrix_of_the_same_law(shape: tuple[int, ...]) -> None:
    target = Target("weight", shape, "float64")
    q = Orthogonal(2.0, method="qr").draw(target, seed=0).reshape(shape[0], -1)
    gram = q.T @ q if q.shape[0] > q.shape[1] else q @ q.T
    assert np.abs(gram - 4.0 * np.eye(len(gram))).max() <= 1e-13
    assert not np.allclose(q, Orthogonal(2.0).draw(target, seed=0).reshape(q.shape), atol=1e-3)
    assert_law_is_measured(Orthogonal(2.0, method="qr"), target)
    assert_draws_are_pure(Orthogonal(2.0, method="qr"), target)


def test_qr_is_haar() -> None:
    target = Target("weight", (2, 2), "float64")
    traces = [Orthogonal(method="qr").draw(target, seed)[[0, 3]].sum() for seed in range(4000)]
    squares = np.square(traces)
    assert abs(np.mean(traces)) <= 6 / math.sqrt(len(traces))  # E[tr Q] = 0, E[(tr Q)²] = 1; LAPACK's signs alone fail
    assert abs(squares.mean() - 1.0) <= 6 * squares.std() / math.sqrt(len(traces))


def test_orthogonal_draws_nothing_for_an_empty_tensor_or_region() -> None:
    assert Orthogonal().draw(Target("weight", (0, 4)), seed=0).shape == (0,)
    assert Orthogonal().draw(Target("weight", (4, 4)), seed=0, elements=range(0)).shape == (0,)


# Sparse


@pytest.mark.parametrize("rows", [10, 30, 37])
@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.9])
def test_each_column_has_as_many_zeros_as_torch_gives_it(sparsity: float, rows: int) -> None:
    theirs = (torch.nn.init.sparse_(torch.empty(rows, 20), sparsity) == 0).sum(dim=0).tolist()
    drawn = Sparse(sparsity).draw(Target("weight", (rows, 20)), seed=0).reshape(rows, 20)
    assert (drawn == 0).sum(axis=0).tolist() == theirs


@pytest.mark.parametrize(("axis", "others"), [(0, (1, 2, 3)), (1, (0, 2, 3)), (3, (0, 1, 2)), (-4, (1, 2, 3))])
def test_the_lines_along_an_axis_have_equally_many_zeros(axis: int, others: tuple[int, ...]) -> None:
    shape = (12, 10, 4, 6)
    target = Target("weight", shape, "bfloat16")
    parts = [Sparse(0.6, axis=axis).draw(target, 0, range(start, start + 96)) for start in range(0, target.size, 96)]
    zeros = (np.concatenate(parts).reshape(shape) == 0).sum(axis=axis)
    assert zeros.shape == tuple(shape[other] for other in others)
    assert (zeros == math.ceil(0.6 * shape[axis])).all()


def test_what_is_not_zero_is_what_the_normal_law_draws() -> None:
    target = Target("weight", (60, 50))
    drawn, normal = Sparse(0.5, std=0.02).draw(target, 3), Normal(0.02).draw(target, 3)
    assert np.array_equal(drawn[drawn != 0], normal[drawn != 0])


def test_sparse_refuses_an_axis_that_the_target_does_not_have() -> None:
    with pytest.raises(BadInput, match=r"Sparse\(axis=1\) needs an axis 1; 'bias' has shape \(8,\)\."):
        Sparse(axis=1).law(Target("bias", (8,)))


# Edges


def test_a_fan_of_zero_gives_zeros() -> None:
    target = Target("weight", (5, 0), "float32", Fans(0, 5))
    for distribution in ("normal", "uniform", "truncated_normal"):
        assert VarianceScaling(distribution=distribution).law(target).std == 0.0
        assert VarianceScaling(distribution=distribution).draw(target, seed=0).shape == (0,)


def test_a_fan_that_is_given_needs_no_operation() -> None:
    raw = Target("weight", (30,))
    assert he_normal(fan_in=8).law(raw).std == pytest.approx(0.5)
    assert glorot_normal(fan_in=4, fan_out=4).law(raw).std == pytest.approx(0.5)
    with pytest.raises(BadInput, match="needs the fans of 'weight'"):
        glorot_normal(fan_in=4).law(raw)
    assert str(he_normal(fan_in=8)) == "normal 1.414/√fan_in (fan_in=8)"


# Complex numbers


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize(
    "what",
    [Normal(2.0, 1.0), Uniform(-1, 3), TruncatedNormal(0.5, -1.0, (-1, 2)), CutNormal(1.0, 0.5, 0.0, 2.0), he_normal()],
    ids=repr,
)
def test_a_complex_draw_is_two_of_half_the_variance(what: Initializer, dtype: str) -> None:
    target = Target("weight", (200, 200), dtype, Fans(FAN_IN, FAN_OUT))
    law = what.law(target)
    values = what.draw(target, seed=0)
    n = values.size
    for part, mean in ((values.real, law.mean), (values.imag, 0.0)):
        assert part.mean() == pytest.approx(mean, abs=6 * law.std / math.sqrt(2 * n))
        assert part.std() == pytest.approx(law.std / math.sqrt(2), rel=std_tolerance(n, law.kurtosis))
    correlation = np.corrcoef(values.real, values.imag)[0, 1]
    assert abs(correlation) < 6 / math.sqrt(n)
    assert_draws_are_pure(what, target)


def test_the_variance_of_a_complex_layer_is_not_doubled() -> None:
    target = Target("weight", (300, 200), "complex64", Fans(200, 300))
    w = glorot_uniform().draw(target, seed=0).reshape(300, 200)  # torch's xavier_uniform_ has twice this variance
    x = np.random.default_rng(0).choice([1, 1j, -1, -1j], size=(200, 500))
    assert np.mean(np.abs(w @ x) ** 2) == pytest.approx(2 / 500 * 200, rel=6 * math.sqrt(2 / (300 * 500)) * 2)


def test_a_huge_slope_gives_a_tiny_gain() -> None:
    assert he_normal(1e200).gain == pytest.approx(math.sqrt(2) * 1e-200)


NEEDS_A_FILE = {"keep", "pretrained"}
# What takes no matrix of 2 × 2.
SMALL_SHAPES = {
    **dict.fromkeys(["chrono", "forget_gate_bias", "block_orthogonal"], (4, 1)),
    **dict.fromkeys(["dirac", "delta_orthogonal", "isometric_convolution", "bilinear"], (1, 1, 4)),
    "chrono": (4,),
    "stft": (2, 1, 2),
}


def small(name: str, dtype: str) -> Target:
    parts = Parts(("a", "b")) if name == "per_part" else None
    return Target("weight", SMALL_SHAPES.get(name, (2, 2)), dtype, Fans(2, 2), parts)


@pytest.mark.parametrize("elements", [np.array([-1]), np.array([4]), range(2, 5), range(3, -1, -1)], ids=str)
@pytest.mark.parametrize("name", sorted(ALL.keys() - NEEDS_A_FILE))
def test_elements_that_the_tensor_does_not_have_are_refused(name: str, elements: Any) -> None:
    with pytest.raises(BadInput, match=r"'weight' has elements 0 … 3; got|runs forwards"):
        initializer(name).draw(small(name, "float32"), seed=0, elements=elements)


@pytest.mark.parametrize(
    "what", [Constant(1e6), Constant(-1e6), Orthogonal(1e6), Sparse(std=1e6), Normal(1e6), Uniform(-1e6, 1e6)]
)
def test_values_that_do_not_fit_the_dtype_are_refused(what: Initializer) -> None:
    with pytest.raises(BadInput, match=r"do not fit in float16, whose largest number is 6\.55e\+04\. Use a smaller"):
        what.draw(Target("weight", (8, 8), "float16"), seed=0)


@pytest.mark.parametrize(("dtype", "value"), [("float32", 1e300), ("bfloat16", 3.4e38)])
def test_a_constant_that_does_not_fit_the_dtype_is_refused(dtype: str, value: float) -> None:
    with pytest.raises(BadInput, match=f"do not fit in {dtype}"):
        Constant(value).draw(Target("bias", (1,), dtype), seed=0)


@pytest.mark.parametrize("name", sorted(ALL.keys() - NEEDS_A_FILE))
def test_a_dtype_that_no_stream_has_is_refused(name: str) -> None:
    with pytest.raises(UnknownName, match="There is no dtype 'int8'"):
        initializer(name).draw(small(name, "int8"), seed=0)


HUGE = 10**400


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Normal(std=-1), "Normal: std must be a finite number, at least 0; got -1."),
        (lambda: Normal(std=math.nan), "Normal: std must be a finite number, at least 0; got nan."),
        (lambda: Normal(std=HUGE), "Normal: std must be a finite number, at least 0; got 1000"),
        (lambda: Normal(mean=math.inf), "Normal: mean must be a finite number; got inf."),
        (lambda: TruncatedNormal(std=-1), "TruncatedNormal: std must be a finite number, at least 0; got -1."),
        (lambda: TruncatedNormal(cut_in_sigmas=0), "cut_in_sigmas must be at least 0.0001; got 0. Cut that close"),
        (lambda: TruncatedNormal(cut_in_sigmas=-2), "cut_in_sigmas must be at least 0.0001; got -2."),
        (lambda: TruncatedNormal(cut_in_sigmas=1e-5), "Cut that close to its mean, a normal law is uniform"),
        (lambda: TruncatedNormal(cut_in_sigmas=math.nan), "cut_in_sigmas must be a finite number; got nan."),
        (lambda: Uniform(1, 1), "Uniform: low must be below high; got low=1, high=1."),
        (lambda: Uniform(2, 1), "Uniform: low must be below high; got low=2, high=1."),
        (lambda: Uniform(math.nan, 1), "Uniform: low must be a finite number; got nan."),
        (lambda: Constant(math.inf), "Constant: value must be a finite number; got inf."),
        (lambda: Orthogonal(-1), "Orthogonal: gain must be a finite number, at least 0; got -1."),
        (lambda: Sparse(1.0), "Sparse: sparsity must be in [0, 1), a fraction of zeros; got 1.0."),
        (lambda: Sparse(-0.1), "sparsity must be in [0, 1), a fraction of zeros; got -0.1."),
        (lambda: Sparse(math.nan), "sparsity must be in [0, 1), a fraction of zeros; got nan."),
        (lambda: Sparse(std=-1), "Sparse: std must be a finite number, at least 0; got -1."),
        (lambda: Sparse(axis=0.5), "Sparse: axis must be an integer, or None for the whole tensor; got 0.5."),  # type: ignore[arg-type]
        (lambda: Orthogonal(method="QR"), "There is no method 'QR'. Did you mean 'qr'? Known: householder, qr"),
        (lambda: VarianceScaling(-1), "VarianceScaling: gain must be a finite number, at least 0; got -1."),
        (lambda: VarianceScaling(mode="fan_inn"), "There is no mode 'fan_inn'. Did you mean 'fan_in'?"),
        (lambda: VarianceScaling(distribution="gauss"), "There is no distribution 'gauss'. Known: normal, truncated"),
        (lambda: VarianceScaling(fan_in=-1), "VarianceScaling: fan_in must be a finite number, at least 0; got -1."),
        (
            lambda: scaled_normal(0),
            "scale must be a finite number above 0, since the variance is divided by it; got 0.",
        ),
        (lambda: scaled_uniform(-2), "scale must be a finite number above 0"),
        (lambda: he_normal(math.nan), "negative_slope must be a finite number; got nan."),
        (lambda: he_uniform(HUGE), "negative_slope must be a finite number; got 1000"),
    ],
)
def test_arguments_that_make_no_law_are_refused_at_construction(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        build()


def test_what_cannot_serve_a_target_says_why_and_what_to_use() -> None:
    vector = Target("norm.bias", (8,))
    with pytest.raises(BadInput, match=r"needs a matrix; 'norm\.bias' has shape \(8,\)\. Use Normal or Uniform"):
        Orthogonal().law(vector)
    with pytest.raises(BadInput, match=r"normal 1\.414/√fan_in needs the fans of 'norm\.bias' \(shape \(8,\)\)"):
        he_normal().law(vector)
    with pytest.raises(
        BadInput, match=r"fixed std, such as Normal\(std=0\.02\), or say the fan: he_normal\(fan_in=128\)\."
    ):
        he_normal().draw(vector, seed=0)
    with pytest.raises(BadInput, match=r"Keep\(\) leaves 'norm\.bias' as it is; there is nothing to draw\."):
        Keep().draw(vector, seed=0)
