"""`fanin.compat.jax`: the names, arguments and meanings of `jax.nn.initializers`, and the bits of every framework."""

from __future__ import annotations

import inspect
import math
import pickle
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax.sharding import AxisType, NamedSharding

import fanin
from fanin.compat import jax as ours
from fanin.errors import BadInput, UnknownName
from fanin.frameworks.jax import Layout
from fanin.initializers import Orthogonal, Target, VarianceScaling
from fanin.stream import key, normal_law, sample, truncated_law
from fanin.stream.gaussian import truncated_std
from fanin.testing.tolerance import mean_tolerance, std_tolerance

pytestmark = pytest.mark.usefixtures("optimized_by_xla")
theirs = jax.nn.initializers
NAMES = sorted(name for name in vars(theirs) if not name.startswith("_"))
KEY = jax.random.key(0)
SHAPE = (3, 3, 16, 32)  # height, width, in, out
FANS = {"fan_in": 144, "fan_out": 288, "fan_avg": 216, "fan_geo_avg": math.sqrt(144 * 288)}
KURTOSIS = {"normal": 3.0, "truncated_normal": 3.0, "uniform": 1.8}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_takes_the_arguments_of_the_original(name: str) -> None:
    original, offered = (inspect.signature(getattr(module, name)) for module in (theirs, ours))
    positional = [p for p in offered.parameters.values() if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert [(p.name, p.default) for p in positional] == [(p.name, p.default) for p in original.parameters.values()]
    assert all(p.default is not p.empty for p in offered.parameters.values() if p not in positional)


def test_what_is_made_is_an_initializer_and_a_value() -> None:
    made = ours.he_normal(name="w")
    assert isinstance(made, theirs.Initializer)
    assert made == ours.kaiming_normal(name="w")
    assert len({made, ours.he_normal(name="w"), ours.he_normal(), ours.he_uniform(name="w")}) == 3
    assert pickle.loads(pickle.dumps(made)) == made
    assert "fan_in" in repr(made)


@pytest.mark.parametrize("distribution", list(KURTOSIS))
@pytest.mark.parametrize("mode", list(FANS))
def test_the_variance_is_scale_over_fan_after_the_cut(mode: str, distribution: str) -> None:
    values = np.asarray(ours.variance_scaling(2.0, mode, distribution)(KEY, SHAPE), np.float64)
    std = math.sqrt(2.0 / FANS[mode])
    assert abs(values.mean()) < mean_tolerance(values.size, std)
    assert abs(values.std() / std - 1) < std_tolerance(values.size, KURTOSIS[distribution])


@pytest.mark.parametrize(
    ("name", "scale", "mode", "distribution"),
    [
        ("glorot_uniform", 1, "fan_avg", "uniform"),
        ("xavier_normal", 1, "fan_avg", "truncated_normal"),
        ("lecun_uniform", 1, "fan_in", "uniform"),
        ("lecun_normal", 1, "fan_in", "truncated_normal"),
        ("kaiming_uniform", 2, "fan_in", "uniform"),
        ("he_normal", 2, "fan_in", "truncated_normal"),
    ],
)
def test_a_named_case_is_the_original_s(name: str, scale: int, mode: str, distribution: str) -> None:
    arguments: dict[str, Any] = {"in_axis": 0, "out_axis": (1, 2), "batch_axis": 3, "dtype": jnp.bfloat16}
    assert getattr(ours, name)(**arguments) == ours.variance_scaling(scale, mode, distribution, **arguments)
    assert getattr(ours, name)() == ours.variance_scaling(1.0 * scale, mode, distribution)


@pytest.mark.parametrize(
    ("make", "mean", "std", "low", "high"),
    [
        (ours.uniform, 0.005, 0.01 / math.sqrt(12), 0.0, 0.01),
        (ours.normal, 0.0, 0.01, -math.inf, math.inf),
        (ours.truncated_normal, 0.0, 0.01 * truncated_std(2.0), -0.02, 0.02),
    ],
)
def test_laws_without_fans_are_the_original_s(
    make: Callable[[], theirs.Initializer], mean: float, std: float, low: float, high: float
) -> None:
    values = np.asarray(make()(KEY, (128, 256)), np.float64)
    original = np.asarray(getattr(theirs, make.__name__)()(KEY, (128, 256)), np.float64)
    for sample_ in (values, original):
        assert abs(sample_.mean() - mean) < mean_tolerance(sample_.size, std)
        assert abs(sample_.std() / std - 1) < std_tolerance(sample_.size)
        assert low - 1e-9 <= sample_.min() <= sample_.max() <= high + 1e-9


def test_a_kernel_is_the_transposed_weight_of_a_torch_model() -> None:
    """One identity, (seed, name, logical weight), in two frameworks: dense and convolution."""
    model = torch.nn.Sequential(torch.nn.Conv2d(4, 6, 3), torch.nn.Flatten(), torch.nn.Linear(24, 10))
    weights = dict(model.named_parameters())
    fanin.initialize_(model, torch.zeros(2, 4, 4, 4), recipe="lecun", seed=7)
    conv, dense = (weights[name].detach().numpy() for name in ("0.weight", "2.weight"))
    seed = jax.random.key(7)
    he = [ours.variance_scaling(1.0, "fan_in", "normal", name=name) for name in ("0.weight", "2.weight")]
    assert (np.asarray(he[0](seed, (3, 3, 4, 6))).transpose(3, 2, 0, 1) == conv).all()
    assert (dense == np.asarray(he[1](seed, (24, 10))).T).all()


def test_embeddings_and_stacked_kernels_have_the_order_of_their_logical_weight() -> None:
    embedding = ours.variance_scaling(1.0, "fan_in", "normal", out_axis=0, name="w")(KEY, (50, 16))
    assert (np.asarray(embedding).ravel() == sample(key(0, "w"), range(800), normal_law(0.25))).all()
    experts = ours.variance_scaling(1.0, "fan_in", "normal", batch_axis=1, in_axis=0, name="w")(KEY, (16, 3, 5))
    logical = np.asarray(experts).transpose(1, 2, 0)
    assert (logical.ravel() == sample(key(0, "w"), range(240), normal_law(0.25))).all()


def test_without_fans_elements_run_row_major_unless_the_axes_are_named() -> None:
    expected = sample(key(0, "w"), range(12), normal_law(0.02)).reshape(3, 4)
    assert (np.asarray(ours.normal(0.02, name="w")(KEY, (3, 4))) == expected).all()
    assert (expected == np.asarray(ours.normal(0.02, name="w", in_axis=-2, out_axis=-1)(KEY, (4, 3))).T).all()
    cut = sample(key(0, "w"), range(12), truncated_law(1.0, -1.0, 3.0)).reshape(3, 4)
    assert (np.asarray(ours.truncated_normal(1.0, None, -1.0, 3.0, name="w")(KEY, (3, 4))) == cut).all()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_16_bits_are_the_rounded_values_not_a_coarser_draw(dtype: Any) -> None:
    """The original's bfloat16 normals take some hundred distinct values."""
    whole, low = (ours.he_normal(dtype=d)(KEY, (64, 256)) for d in (jnp.float32, dtype))
    assert low.dtype == dtype
    assert (np.asarray(low) == np.asarray(whole).astype(dtype)).all()


def test_the_dtype_of_the_call_wins_and_float64_needs_to_be_switched_on() -> None:
    make = ours.normal(dtype=jnp.float16)
    assert [make(KEY, (2,)).dtype, make(KEY, (2,), jnp.bfloat16).dtype] == [jnp.float16, jnp.bfloat16]
    assert ours.normal()(KEY, (2,), jnp.float64).dtype == jnp.float32
    assert ours.zeros(KEY, (2, 3)).tolist() == [[0.0] * 3] * 2
    assert ours.ones(KEY, (2,), jnp.int8).dtype == jnp.int8
    assert ours.constant(np.arange(3))(KEY, (2, 3)).tolist() == [[0.0, 1.0, 2.0]] * 2


def test_empty_arrays_and_a_scale_of_zero_are_no_errors() -> None:
    assert ours.he_normal()(KEY, (0, 5)).shape == (0, 5)
    assert ours.orthogonal()(KEY, (5, 0)).shape == (5, 0)
    assert ours.uniform(0.0)(KEY, (3,)).tolist() == [0.0] * 3
    assert ours.variance_scaling(0.0, "fan_in", "normal")(KEY, (3, 1)).tolist() == [[0.0]] * 3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_orthogonal_kernels_have_the_bits_of_every_framework(dtype: str) -> None:
    """In bfloat16 the original raises."""
    make = ours.orthogonal(2.0, name="w", dtype=jnp.dtype(dtype))
    expected = Orthogonal(2.0).draw(Target("w", (6, 4, 3, 2), dtype), seed=0)
    for draw in (make, jax.jit(make, static_argnums=1)):
        kernel = np.asarray(draw(KEY, (3, 2, 4, 6)))
        assert kernel.transpose(3, 2, 0, 1).tobytes() == expected.tobytes()


def test_orthogonal_of_many_keys_and_of_another_column_axis() -> None:
    keys = jax.random.split(KEY, 2)
    Q = np.asarray(jax.vmap(lambda k: ours.orthogonal()(k, (3, 5)))(keys))
    assert np.abs(Q @ Q.transpose(0, 2, 1) - np.eye(3)).max() < 1e-6
    assert np.abs(Q[0] - Q[1]).max() > 0.01
    rows = np.asarray(ours.orthogonal(column_axis=0)(KEY, (3, 2, 5)))
    assert np.abs(np.einsum("aij,bij", rows, rows) - np.eye(3)).max() < 1e-6


@pytest.mark.parametrize("axis", [AxisType.Explicit, AxisType.Auto])
@pytest.mark.parametrize("make", [ours.normal(), ours.he_uniform(), ours.orthogonal(), ours.zeros])
def test_a_mesh_axis_of_one_device_stays_in_the_sharding(make: Any, axis: AxisType) -> None:
    """Where axes are explicit, a sharding is part of an array's type, however many devices there are."""
    mesh = jax.make_mesh((1,), ("x",), (axis,), devices=jax.devices()[:1])
    asked = NamedSharding(mesh, jax.P("x", None))
    kernel = make(KEY, (8, 4), jnp.float32, out_sharding=asked)
    assert kernel.sharding == asked
    assert (np.asarray(kernel) == np.asarray(make(KEY, (8, 4), jnp.float32))).all()
    typed = jax.device_put(jnp.ones((8, 4)), asked)
    assert jax.typeof(kernel + typed).sharding == jax.typeof(typed).sharding


@pytest.mark.parametrize("window", [(3,), (4, 2), (2, 3, 1)])
def test_a_delta_orthogonal_convolution_keeps_every_norm(window: tuple[int, ...]) -> None:
    kernel = ours.delta_orthogonal()(KEY, (*window, 3, 5))
    x = jax.random.normal(KEY, (2, 3, *[6] * len(window)))
    spatial = "DHW"[: len(window)]
    y = jax.lax.conv_general_dilated(
        x, kernel, (1,) * len(window), "SAME", dimension_numbers=("NC" + spatial, spatial + "IO", "NC" + spatial)
    )
    assert np.allclose(jnp.sum(y * y, axis=1), jnp.sum(x * x, axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ours.he_normal()(KEY, (5,)), "Must be at least 2D or specify in_axis explicitly"),
        (lambda: ours.he_normal(in_axis=3)(KEY, (5, 4)), "in_axis=3: a kernel of shape"),
        (lambda: ours.normal()(KEY, 5), "sequence of integers"),
        (lambda: ours.normal()(KEY, (-5, 2)), "at least 0"),
        (lambda: ours.normal(-1.0), "≥ 0"),
        (lambda: ours.variance_scaling(-1.0, "fan_in", "normal"), "≥ 0"),
        (lambda: ours.variance_scaling(math.nan, "fan_in", "normal"), "at least 0; got nan"),
        (lambda: ours.normal()(KEY, (3,), jnp.int32), "dtype: expected one of"),
        (lambda: ours.uniform()(KEY, (3,), jnp.complex64), "real floating"),
        (lambda: ours.orthogonal()(KEY, (3,)), "at least a 2D shape"),
        (lambda: ours.orthogonal()(KEY, (3, 3), jnp.complex64), "real floating"),
        (lambda: ours.delta_orthogonal()(KEY, (3, 3)), "3D, 4D or 5D"),
        (lambda: ours.delta_orthogonal()(KEY, (3, 4, 2)), "`fan_in` must be less"),
        (lambda: ours.normal(name=3)(KEY, (3,)), "name"),  # type: ignore[arg-type]
        (lambda: ours.normal()(jax.random.split(KEY), (3,)), "jax.vmap"),
        (lambda: jax.jit(lambda std: ours.normal(std)(KEY, (3,)))(1.0), "traced"),
    ],
)
def test_what_cannot_be_made_says_why(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        make()


def test_a_misspelled_mode_is_refused_when_the_initializer_is_made() -> None:
    with pytest.raises(UnknownName, match="fan_in"):
        ours.variance_scaling(1.0, "fanin", "normal")
    with pytest.raises(UnknownName, match="uniform"):
        ours.variance_scaling(1.0, "fan_in", "unifrom")


def test_the_std_is_the_one_that_plans_compute() -> None:
    expected = VarianceScaling(math.sqrt(2.0), "fan_out", "truncated_normal")
    target = Target("w", (32, 16, 3, 3), fans=Layout().fans(SHAPE))
    kernel = ours.variance_scaling(2.0, "fan_out", "truncated_normal", name="w")(KEY, SHAPE)
    assert (np.asarray(kernel).transpose(3, 2, 0, 1).ravel() == expected.draw(target, 0)).all()
