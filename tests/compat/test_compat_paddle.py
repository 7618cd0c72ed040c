"""The drop-ins for Paddle in Paddle's own layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fanin
from fanin.errors import BadInput, UnknownName
from fanin.graph import Fans
from fanin.stream import key, normal, truncated_normal, uniform
from fanin.testing import std_tolerance

pytest.importorskip("paddle", reason="Paddle is not installed: pip install 'fanin[paddle]'", exc_type=ImportError)

import paddle

from fanin.compat import paddle as compat


@pytest.fixture(autouse=True)
def _its_own_names() -> Iterator[None]:
    """Paddle counts layers in the process, and refuses a name that is taken."""
    with paddle.utils.unique_name.guard():
        yield


def attr(initializer: Any, name: str | None = None) -> Any:
    return paddle.ParamAttr(name=name, initializer=initializer)


def array(parameter: Any) -> npt.NDArray[Any]:
    return np.asarray(parameter.astype("float64").numpy())


def parameter(initializer: Any, *shape: int, dtype: str = "float32") -> Any:
    return paddle.create_parameter(list(shape), dtype, default_initializer=initializer)


@pytest.mark.parametrize(
    ("initializer", "expected"),
    [
        (compat.Normal(1.0, 0.1, seed=1), lambda k: normal(k, range(24), 0.1, mean=1.0)),
        (compat.Uniform(-0.1, 0.1, seed=1), lambda k: uniform(k, range(24), 0.1)),
        (compat.TruncatedNormal(0.0, 0.1, -0.1, 0.3, seed=1), lambda k: truncated_normal(k, range(24), 0.1, -1, 3)),
        (compat.XavierUniform(seed=1), lambda k: uniform(k, range(24), math.sqrt(3) * math.sqrt(2 / 10))),
        (compat.XavierNormal(gain=2.0, seed=1), lambda k: normal(k, range(24), 2 / math.sqrt(5))),
        (compat.KaimingNormal(mode="fan_out", seed=1), lambda k: normal(k, range(24), math.sqrt(2) / 2)),
        (compat.KaimingNormal(fan_in=4, seed=1), lambda k: normal(k, range(24), math.sqrt(2) / 2)),
        (compat.Fanin("normal(std=0.02)", seed=1), lambda k: normal(k, range(24), 0.02)),
    ],
)
def test_the_bits_are_the_streams_under_the_name_of_the_parameter(initializer: Any, expected: Any) -> None:
    linear = paddle.nn.Linear(6, 4, weight_attr=attr(initializer, "head"))
    assert np.array_equal(linear.weight.numpy(), expected(key(1, "head")).reshape(4, 6).T)


def test_layers_that_share_an_instance_differ_in_any_order() -> None:
    shared = compat.KaimingUniform(seed=0)
    attention = paddle.nn.MultiHeadAttention(8, 2, weight_attr=attr(shared))
    q, k, v = (array(p.weight) for p in (attention.q_proj, attention.k_proj, attention.v_proj))
    assert min((q != k).mean(), (q != v).mean(), (k != v).mean()) == 1

    def named(*names: str) -> dict[str, npt.NDArray[Any]]:
        with paddle.utils.unique_name.guard():
            return {name: array(paddle.nn.Linear(4, 4, weight_attr=attr(shared, name)).weight) for name in names}

    forwards, backwards = named("a", "b"), named("b", "a")
    assert all(np.array_equal(forwards[name], backwards[name]) for name in "ab")


LAYERS: list[tuple[Callable[[Any], Any], Fans]] = [
    (lambda a: paddle.nn.Linear(48, 32, weight_attr=a), Fans(48, 32)),
    (lambda a: paddle.nn.Conv1D(12, 32, 5, stride=2, weight_attr=a), Fans(60, 80)),
    (lambda a: paddle.nn.Conv2D(16, 32, 3, groups=4, weight_attr=a), Fans(36, 72)),
    (lambda a: paddle.nn.Conv2D(64, 64, 3, groups=64, weight_attr=a), Fans(9, 9)),
    (lambda a: paddle.nn.Conv3D(8, 8, 2, weight_attr=a), Fans(64, 64)),
    (lambda a: paddle.nn.Conv2DTranspose(32, 16, 4, stride=2, weight_attr=a), Fans(128, 256)),
    (lambda a: paddle.nn.Conv2DTranspose(32, 16, 4, stride=2, groups=2, weight_attr=a), Fans(64, 128)),
    (lambda a: paddle.nn.Embedding(1000, 16, weight_attr=a), Fans(16, 16)),
    (lambda a: paddle.nn.Bilinear(8, 9, 10, weight_attr=a), Fans(72, 90)),
    (lambda a: paddle.nn.SimpleRNNCell(16, 32, weight_ih_attr=a), Fans(16, 32)),
    (lambda a: paddle.nn.LSTMCell(16, 32, weight_ih_attr=a), Fans(16, 32)),
    (lambda a: paddle.nn.GRUCell(16, 32, weight_ih_attr=a), Fans(16, 32)),
]


@pytest.mark.parametrize(("make", "fans"), LAYERS)
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_the_fans_are_those_of_the_layer(make: Callable[[Any], Any], fans: Fans, mode: str) -> None:
    law = fanin.VarianceScaling(mode=mode, distribution="uniform")
    weight = array(make(attr(compat.Fanin(law, seed=0))).parameters()[0])
    bound = math.sqrt(3 / fans.of(mode))
    assert bound * (1 - 30 / weight.size) < np.abs(weight).max() < bound  # e^-30: the chance that none comes so near


def test_fans_that_are_given_count() -> None:
    weight = array(parameter(compat.XavierUniform(fan_in=9, fan_out=9, seed=0), 64, 1, 3, 3))
    assert np.abs(weight).max() == pytest.approx(math.sqrt(6 / 18), rel=0.02)


class Gated(paddle.nn.Linear):  # type: ignore[misc]  # Paddle has no types
    """A linear layer with a further parameter, of three axes."""

    def __init__(self, initializer: Any) -> None:
        super().__init__(8, 4, weight_attr=attr(initializer))
        self.taps = self.create_parameter([4, 8, 3], attr=attr(initializer))


def test_a_users_own_layer_is_read_as_far_as_it_is_paddles() -> None:
    layer = Gated(compat.Fanin("variance_scaling(distribution='uniform')", seed=0))
    assert math.sqrt(3 / 8) * 0.7 < np.abs(array(layer.weight)).max() < math.sqrt(3 / 8)
    assert math.sqrt(3 / 24) * 0.8 < np.abs(array(layer.taps)).max() < math.sqrt(3 / 24)


def test_a_lazy_layer_has_the_same_values() -> None:
    def conv() -> Any:
        return paddle.nn.Conv2D(64, 64, 3, groups=64, weight_attr=attr(compat.XavierNormal(seed=0)))

    with paddle.utils.unique_name.guard():
        now = conv()
    with paddle.LazyGuard():
        later = conv()
    later.weight.initialize()
    assert np.array_equal(array(now.weight), array(later.weight))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("make", [compat.Normal, compat.XavierUniform, compat.Orthogonal])
def test_other_dtypes_round_what_float64_has(make: Any, dtype: str) -> None:
    drawn = []
    for kind in (dtype, "float64"):
        with paddle.utils.unique_name.guard():
            drawn.append(parameter(make(seed=0), 6, 4, dtype=kind))
    assert str(drawn[0].dtype) == f"paddle.{dtype}"
    unit = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float64": 0.0}[dtype]
    assert np.allclose(array(drawn[0]), array(drawn[1]), rtol=unit, atol=2.0**-24)


@pytest.mark.parametrize(("law", "kurtosis"), [(compat.KaimingNormal, 3.0), (compat.KaimingUniform, 1.8)])
def test_the_standard_deviation(law: Any, kurtosis: float) -> None:
    weight = array(paddle.nn.Linear(400, 250, weight_attr=attr(law(seed=0))).weight)
    assert weight.std() == pytest.approx(math.sqrt(2 / 400), rel=std_tolerance(weight.size, kurtosis))


def test_without_a_seed_paddles_own_counts() -> None:
    drawn = []
    for _ in range(2):
        paddle.seed(5)
        with paddle.utils.unique_name.guard():
            drawn.append([array(parameter(compat.Normal(), 3, 2)) for _ in range(2)])
    (first, second), again = drawn
    assert np.array_equal([first, second], again)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("shape", [(1, 1, 4), (3, 3, 4, 4), (6, 1, 3, 5)])
def test_bilinear_is_symmetric_and_interpolates(shape: tuple[int, ...]) -> None:
    kernel = array(parameter(compat.Bilinear(), *shape))
    assert np.array_equal(kernel, kernel[:, :, *[slice(None, None, -1)] * (len(shape) - 2)])
    each = kernel.sum(axis=tuple(range(2, len(shape))))
    assert np.array_equal(each / each.max(), np.eye(shape[0]) if shape[0] == shape[1] else np.ones((shape[0], 1)))
    for size in shape[2:]:  # shifted by the factor, the tents sum to 1
        factor = (size + 1) // 2
        tent = 1 - np.abs(np.arange(size) - (size - 1) / 2) / factor
        if size == 2 * factor - factor % 2:
            assert np.allclose(np.add.reduceat(np.pad(tent, (0, -size % factor)), range(0, size, factor)).sum(), factor)


def test_a_global_initializer_leaves_norms_alone() -> None:
    compat.set_global_initializer(compat.KaimingNormal(seed=0), compat.Constant(0.5))
    try:
        norms = [
            paddle.nn.LayerNorm(4),
            paddle.nn.BatchNorm2D(4),
            paddle.nn.GroupNorm(2, 4),
            paddle.nn.InstanceNorm1D(4),
        ]
        linear = paddle.nn.Linear(4, 4)
    finally:
        compat.set_global_initializer(None)
    for norm in norms:
        scale, shift = norm.parameters()[:2] if not hasattr(norm, "scale") else (norm.scale, norm.bias)
        assert (scale.numpy() == 1).all()
        assert (shift.numpy() == 0).all()
    assert (linear.bias.numpy() == 0.5).all()
    assert np.array_equal(
        linear.weight.numpy().T.ravel(), normal(key(0, linear.weight.name), range(16), math.sqrt(2) / math.sqrt(4))
    )


def test_gains_are_paddles_and_for_the_rest_those_of_the_moments() -> None:
    for name in ("linear", "conv2d_transpose", "tanh", "relu", "selu", "sigmoid"):
        assert compat.calculate_gain(name) == paddle.nn.initializer.calculate_gain(name)
    assert compat.calculate_gain("leaky_relu", 0.2) == math.sqrt(2 / 1.04)
    assert compat.calculate_gain("gelu") == fanin.gain("gelu").forward


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: compat.Normal(seed=-1), BadInput, "seed: expected an integer"),
        (lambda: compat.Normal(std=-1.0), BadInput, "std must be"),
        (lambda: compat.Uniform(1.0, 0.0), BadInput, "low must be below high"),
        (lambda: compat.TruncatedNormal(std=0.0), BadInput, "std must be above 0"),
        (lambda: compat.TruncatedNormal(a=1.0, b=0.0), BadInput, "expected low < high"),
        (lambda: compat.XavierNormal(fan_in=-1), BadInput, "fan_in: expected"),
        (lambda: compat.KaimingNormal(fan_in=3, mode="fan_out"), BadInput, "has no effect"),
        (lambda: compat.KaimingNormal(mode="fan"), UnknownName, "Known:"),
        (lambda: compat.KaimingNormal(nonlinearity="rleu"), UnknownName, "relu"),
        (lambda: parameter(compat.KaimingNormal(seed=0), 5), BadInput, "needs the fans of"),
        (lambda: parameter(compat.Orthogonal(seed=0), 5), BadInput, "needs a matrix"),
        (lambda: parameter(compat.Bilinear(), 3, 2, 4, 4), BadInput, r"with shape \(C, C, \*kernel\)"),
        (lambda: parameter(compat.Normal(seed=0), 3, dtype="complex64"), UnknownName, "Known:"),
    ],
)
def test_bad_input_is_named(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("initializer", [compat.Normal(seed=0), compat.Bilinear()])
def test_a_static_program_is_refused(initializer: Any) -> None:
    paddle.enable_static()
    try:
        with pytest.raises(BadInput, match="Build the model in dynamic mode"):
            parameter(initializer, 3, 1, 4)
    finally:
        paddle.disable_static()
