"""The drop-ins for Keras in Keras's own layers, on PyTorch as its back end (and on JAX where that is installed)."""

from __future__ import annotations

import copy
import math
import pickle
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fanin
from fanin.errors import BadInput, UnknownName
from fanin.graph import Fans
from fanin.initializers import Orthogonal as OrthogonalLaw
from fanin.initializers import Target, glorot_uniform
from fanin.stream import key, normal, truncated_normal, uniform
from fanin.testing import std_tolerance

pytest.importorskip("keras", reason="Keras is not installed: pip install 'fanin[keras]'", exc_type=ImportError)

import keras

from fanin.compat import keras as compat

# Keras 3.15 hands tensors of PyTorch to NumPy 2.4 in a way that NumPy says will change.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RANDOM = [
    compat.RandomNormal,
    compat.RandomUniform,
    compat.TruncatedNormal,
    compat.VarianceScaling,
    compat.GlorotNormal,
    compat.GlorotUniform,
    compat.HeNormal,
    compat.HeUniform,
    compat.LecunNormal,
    compat.LecunUniform,
    compat.Orthogonal,
]
KURTOSIS = {"uniform": 1.8, "truncated_normal": 2.3658, "untruncated_normal": 3.0}


def array(what: Any) -> npt.NDArray[Any]:
    """A variable or tensor of the back end as float32 or float64."""
    tensor = getattr(what, "value", what)
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def built(layer: Any, *shape: int) -> Any:
    layer.build((None, *shape))
    return layer


def stored_as(value: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """(out, in, *kernel) as Keras stores it, written out apart from the library."""
    return np.moveaxis(value.reshape(shape[-1], shape[-2], *shape[:-2]), (0, 1), (-1, -2))


@pytest.mark.parametrize("make", RANDOM)
def test_they_are_initializers_of_keras_with_its_arguments(make: Any) -> None:
    ours, theirs = make(seed=3), getattr(keras.initializers, make.__qualname__)(seed=3)
    assert isinstance(ours, keras.initializers.Initializer)
    assert theirs.get_config().items() <= ours.get_config().items()


@settings(max_examples=25, deadline=None)
@given(kernel=st.lists(st.integers(1, 3), max_size=3), channels=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_the_bits_are_the_streams_in_the_transposed_layout(kernel: list[int], channels: tuple[int, int]) -> None:
    shape = (*kernel, *channels)
    got = array(compat.RandomNormal(stddev=0.02, seed=7)(shape, name="encoder.weight"))
    assert np.array_equal(got, stored_as(normal(key(7, "encoder.weight"), range(math.prod(shape)), 0.02), shape))


@pytest.mark.parametrize(
    ("initializer", "expected"),
    [
        (compat.RandomUniform(-0.1, 0.1, seed=1), lambda k: uniform(k, range(24), 0.1)),
        (compat.RandomNormal(1.0, 0.1, seed=1), lambda k: normal(k, range(24), 0.1, mean=1.0)),
        (compat.TruncatedNormal(0.5, 0.1, seed=1), lambda k: truncated_normal(k, range(24), 0.1, -2, 2, mean=0.5)),
        (compat.GlorotUniform(seed=1), lambda k: uniform(k, range(24), math.sqrt(3) * math.sqrt(2 / 10))),
        (
            compat.VarianceScaling(3.0, "fan_out", "untruncated_normal", seed=1),
            lambda k: normal(k, range(24), math.sqrt(3.0) / 2),
        ),
    ],
)
def test_a_layer_gets_the_law_under_the_path_of_its_variable(initializer: Any, expected: Any) -> None:
    layer = built(keras.layers.Dense(4, kernel_initializer=initializer, name="head"), 6)
    assert layer.kernel.path == "head/kernel"
    assert np.array_equal(array(layer.kernel), expected(key(1, "head/kernel")).reshape(4, 6).T)


def test_the_bits_are_those_of_a_plan_for_the_same_logical_weight() -> None:
    layer = built(keras.layers.Conv2D(8, 3, kernel_initializer=compat.GlorotUniform(seed=5), name="conv"), 10, 10, 4)
    target = Target("conv/kernel", (8, 4, 3, 3), "float32", Fans(4 * 9, 8 * 9))
    assert np.array_equal(array(layer.kernel), stored_as(glorot_uniform().draw(target, 5), (3, 3, 4, 8)))


class TestSharing:
    @pytest.mark.parametrize("seed", [None, 0])
    def test_layers_that_share_an_instance_differ(self, seed: int | None) -> None:
        shared = compat.HeNormal(seed=seed)
        a, b = (built(keras.layers.Dense(16, kernel_initializer=shared), 16) for _ in range(2))
        assert (array(a.kernel) != array(b.kernel)).mean() > 0.99

    @pytest.mark.parametrize("seed", [None, 0])
    def test_query_key_and_value_differ(self, seed: int | None) -> None:
        attention = keras.layers.MultiHeadAttention(2, 8, kernel_initializer=compat.GlorotUniform(seed=seed))
        attention.build((None, 5, 16), (None, 5, 16))
        q, k, v = (array(kernel) for kernel in _projections(attention))
        assert min((q != k).mean(), (q != v).mean(), (k != v).mean()) > 0.99

    def test_kernel_and_recurrent_kernel_differ(self) -> None:
        shared = compat.RandomNormal(seed=0)
        cell = built(keras.layers.LSTMCell(4, kernel_initializer=shared, recurrent_initializer=shared), 4)
        assert (array(cell.kernel) != array(cell.recurrent_kernel)).all()

    def test_the_order_in_which_layers_are_built_plays_no_part(self) -> None:
        shared = compat.LecunNormal(seed=0)

        def layers() -> list[Any]:
            return [keras.layers.Dense(4, kernel_initializer=shared, name=f"layer_{n}") for n in range(3)]

        forwards = [array(built(layer, 4).kernel) for layer in layers()]
        backwards = [array(built(layer, 4).kernel) for layer in reversed(layers())][::-1]
        assert np.array_equal(forwards, backwards)

    def test_by_hand_the_same_call_gives_the_same_values_as_keras_promises(self) -> None:
        seeded = compat.RandomNormal(seed=0)
        assert np.array_equal(array(seeded((3, 3))), array(seeded((3, 3))))
        assert not np.array_equal(array(seeded((3, 3))), array(seeded((3, 3), name="other")))


def _projections(attention: Any) -> list[Any]:
    return [v for v in attention.weights if v.path.endswith(("query/kernel", "key/kernel", "value/kernel"))]


class Block(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """A layer without `build`, as most users write them: what is inside is made after a trace of the call."""

    def __init__(self, initializer: Any, **options: Any) -> None:
        super().__init__(**options)
        self.first = keras.layers.Dense(64, kernel_initializer=initializer, name="first")
        self.second = keras.layers.DepthwiseConv1D(9, depthwise_initializer=initializer, name="second")

    def call(self, x: Any) -> Any:
        return self.second(self.first(x))


def test_inside_a_layer_without_build_names_and_fans_are_the_same() -> None:
    block = Block(compat.GlorotNormal(seed=0), name="block")
    block(keras.Input((20, 32)))
    alone = keras.layers.DepthwiseConv1D(9, depthwise_initializer=compat.GlorotNormal(seed=0, fan_in=9, fan_out=9))
    with keras.name_scope("block"):
        alone.name = "second"
        built(alone, 20, 64)
    assert [v.path for v in block.trainable_weights][::2] == ["block/first/kernel", "block/second/kernel"]
    assert np.array_equal(array(block.second.kernel), array(alone.kernel))


LAYERS = [
    (keras.layers.Dense(32), (48,), Fans(48, 32)),
    (keras.layers.Conv1D(32, 5, strides=2), (20, 12), Fans(60, 80)),
    (keras.layers.Conv2D(32, 3, groups=4), (9, 9, 16), Fans(36, 72)),
    (keras.layers.Conv3D(8, 2), (5, 5, 5, 8), Fans(64, 64)),
    (keras.layers.Conv2DTranspose(16, 4, strides=2), (9, 9, 32), Fans(128, 256)),
    (keras.layers.DepthwiseConv2D(3), (9, 9, 64), Fans(9, 9)),
    (keras.layers.DepthwiseConv2D(3, depth_multiplier=2), (9, 9, 64), Fans(9, 18)),
    (keras.layers.SeparableConv2D(32, 3), (9, 9, 64), Fans(9, 9)),
    (keras.layers.EinsumDense("abc,cde->abde", (None, 4, 8)), (5, 32), Fans(32, 32)),
    (keras.layers.EinsumDense("abcd,cde->abe", (None, 32)), (5, 4, 8), Fans(32, 32)),
    (keras.layers.EinsumDense("abc,bcd->abd", (5, 32)), (5, 16), Fans(16, 32)),
    (keras.layers.Embedding(1000, 16), (7,), Fans(16, 16)),
    (keras.layers.SimpleRNNCell(32), (16,), Fans(16, 32)),
    (keras.layers.LSTMCell(32), (16,), Fans(16, 32)),
    (keras.layers.GRUCell(32), (16,), Fans(16, 32)),
]


@pytest.mark.parametrize(("layer", "shape", "fans"), LAYERS, ids=lambda what: type(what).__name__)
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_the_fans_are_those_of_the_layer(layer: Any, shape: tuple[int, ...], fans: Fans, mode: str) -> None:
    config = layer.get_config() | {"name": None}
    argument = next(a for a in ("depthwise_initializer", "kernel_initializer", "embeddings_initializer") if a in config)
    config[argument] = compat.VarianceScaling(mode=mode, distribution="uniform", seed=0)
    weight = array(built(type(layer).from_config(config), *shape).trainable_weights[0])
    bound = math.sqrt(3 / fans.of(mode))
    assert bound * (1 - 30 / weight.size) < np.abs(weight).max() < bound  # e^-30: the chance that none comes so near


class Gated(keras.layers.Dense):  # type: ignore[misc]  # Keras has no types
    """A dense layer with a further weight, of three axes."""

    def build(self, shape: Any) -> None:
        super().build(shape)
        self.taps = self.add_weight(shape=(3, 8, 4), initializer=self.kernel_initializer, name="kernel_taps")


def test_a_users_own_layer_is_read_as_far_as_it_is_keras() -> None:
    layer = built(Gated(4, kernel_initializer=compat.LecunUniform(seed=0)), 8)
    assert math.sqrt(3 / 8) * 0.7 < np.abs(array(layer.kernel)).max() < math.sqrt(3 / 8)
    assert math.sqrt(3 / 24) * 0.8 < np.abs(array(layer.taps)).max() < math.sqrt(3 / 24)


def test_a_depthwise_weight_is_that_of_pytorch() -> None:
    layer = keras.layers.DepthwiseConv2D(
        2, depth_multiplier=3, depthwise_initializer=compat.RandomNormal(stddev=1.0, seed=0), name="d"
    )
    logical = normal(key(0, "d/kernel"), range(5 * 3 * 4), 1.0).reshape(15, 1, 2, 2)  # channel c · 3 + m
    stored = array(built(layer, 8, 8, 5).kernel)
    assert all(np.array_equal(stored[..., c, m], logical[c * 3 + m, 0]) for c in range(5) for m in range(3))


def test_fans_that_are_given_count() -> None:
    by_number = compat.HeUniform(seed=0, fan_in=3)((1000,))
    assert np.abs(array(by_number)).max() == pytest.approx(math.sqrt(6 / 3), rel=0.01)
    by_axes = compat.VarianceScaling(distribution="uniform", seed=0, input_axes=[0], output_axes=[1, 2])((4, 30, 30))
    assert np.abs(array(by_axes)).max() == pytest.approx(math.sqrt(3 / 4), rel=0.01)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("make", RANDOM)
def test_other_dtypes_round_what_float64_has(make: Any, dtype: str) -> None:
    tensor = make(seed=0)((6, 4), dtype)
    assert keras.backend.standardize_dtype(tensor.dtype) == dtype
    exact = array(make(seed=0)((6, 4), "float64"))
    unit = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float64": 0.0}[dtype]
    assert np.allclose(array(keras.ops.cast(tensor, "float64")), exact, rtol=unit, atol=2.0**-24)


def test_mixed_precision_keeps_float32_weights() -> None:
    layer = built(
        keras.layers.Dense(4, kernel_initializer=compat.HeNormal(seed=0), dtype="mixed_bfloat16", name="m"), 6
    )
    plain = built(keras.layers.Dense(4, kernel_initializer=compat.HeNormal(seed=0), name="m"), 6)
    assert keras.backend.standardize_dtype(layer.kernel.dtype) == "float32"
    assert np.array_equal(array(layer.kernel), array(plain.kernel))


@pytest.mark.parametrize("distribution", sorted(KURTOSIS))
def test_the_standard_deviation_is_the_one_after_the_cut(distribution: str) -> None:
    weight = array(compat.VarianceScaling(2.0, distribution=distribution, seed=0)((400, 250)))
    expected = math.sqrt(2 / 400)
    assert weight.std() == pytest.approx(expected, rel=std_tolerance(weight.size, KURTOSIS[distribution]))


def test_the_bare_truncated_normal_means_what_keras_means() -> None:
    weight = array(compat.TruncatedNormal(stddev=0.1, seed=0)((400, 250)))
    assert weight.std() == pytest.approx(0.0879626, rel=std_tolerance(weight.size, KURTOSIS["truncated_normal"]))
    assert 0.1999 < np.abs(weight).max() <= 0.2


@pytest.mark.parametrize("shape", [(8, 8), (8, 3), (3, 8), (3, 3, 2, 5)])
def test_orthogonal_columns_or_rows(shape: tuple[int, ...]) -> None:
    q = array(compat.Orthogonal(gain=2.0, seed=0)(shape, "float64")).reshape(-1, shape[-1])
    short = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    assert np.allclose(short, 4 * np.eye(len(short)), atol=1e-12)
    if len(shape) == 2:
        drawn = OrthogonalLaw(2.0).draw(Target("", shape[::-1], "float64"), 0)
        assert np.array_equal(q, drawn.reshape(shape[::-1]).T)


class TestConfigurations:
    @pytest.mark.parametrize("make", RANDOM)
    def test_round_trips(self, make: Any) -> None:
        first = make(seed=12)
        for other in (
            make.from_config(first.get_config()),
            keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(first)),
            keras.initializers.deserialize(keras.initializers.serialize(first)),
            compat.get(keras.initializers.serialize(first)),
            first.clone(),
            copy.deepcopy(first),
            pickle.loads(pickle.dumps(first)),
        ):
            assert type(other) is make
            assert other.get_config() == first.get_config()
            assert np.array_equal(array(other((3, 2))), array(first((3, 2))))

    def test_without_a_seed_a_clone_draws_its_own_and_the_global_seed_counts(self) -> None:
        first = compat.RandomNormal()
        assert first.get_config()["seed"] is None
        assert not np.array_equal(array(first.clone()((3, 2))), array(first((3, 2))))
        drawn = []
        for _ in range(2):
            keras.utils.set_random_seed(4)
            drawn.append(array(compat.RandomNormal()((3, 2))))
        assert np.array_equal(drawn[0], drawn[1])

    def test_a_seed_generator_gives_another_seed_at_every_call(self) -> None:
        first = compat.RandomNormal(seed=keras.random.SeedGenerator(3))
        again = compat.RandomNormal.from_config(first.get_config())
        drawn = [array(first((3, 2))) for _ in range(2)]
        assert not np.array_equal(drawn[0], drawn[1])
        assert array(again((3, 2))).shape == (3, 2)

    @pytest.mark.parametrize("name", sorted(compat.CLASSES.keys() | compat.ALIASES.keys()))
    def test_every_name_of_keras_is_understood(self, name: str) -> None:
        made = compat.get(name)
        if name != "constant":  # Keras's own `get` cannot: KeyError, 'value'
            assert type(made).__qualname__ == type(keras.initializers.get(name)).__qualname__
        assert type(made) is compat.CLASSES[compat.ALIASES.get(name, name)]
        assert type(compat.get(type(made).__qualname__)) is type(made)

    def test_no_name_of_keras_is_missing(self) -> None:
        theirs = {c for c in vars(keras.initializers).values() if isinstance(c, type)} - {
            keras.initializers.Initializer
        }
        assert {c.__qualname__ for c in compat.CLASSES.values()} == {c.__name__ for c in theirs}

    def test_what_else_keras_takes(self) -> None:
        made = compat.HeNormal(seed=0)
        assert compat.get(made) is made
        assert compat.get(None) is None
        assert type(compat.get(compat.HeNormal)) is compat.HeNormal
        theirs = keras.initializers.serialize(keras.initializers.HeNormal(seed=3))
        assert type(compat.get(theirs)) is compat.HeNormal
        layer = keras.layers.Dense(3, kernel_initializer="fanin>HeNormal")
        assert type(layer.kernel_initializer) is compat.HeNormal

    @pytest.mark.parametrize("law", ["sparse(sparsity=0.5, std=1.0)", fanin.he_normal(), {"law": "Normal", "std": 2.0}])
    def test_any_law_of_fanin_round_trips(self, law: Any) -> None:
        first = compat.Fanin(law, seed=3)
        again = keras.initializers.deserialize(keras.initializers.serialize(first))
        assert type(again) is compat.Fanin
        assert again.law() == first.law()
        assert np.array_equal(array(first((4, 6))), array(again((4, 6))))

    def test_a_saved_model_loads(self, tmp_path: Path) -> None:
        shared = compat.HeNormal(seed=0)
        layers = [keras.Input((4,)), *(keras.layers.Dense(3, kernel_initializer=shared) for _ in range(2))]
        model = keras.Sequential(layers)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert type(loaded.layers[0].kernel_initializer) is compat.HeNormal
        assert all(np.array_equal(array(a), array(b)) for a, b in zip(model.weights, loaded.weights, strict=True))

    def test_who_has_not_imported_them_is_refused_rather_than_given_keras_own(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = keras.initializers.serialize(compat.Orthogonal(seed=0))
        monkeypatch.delitem(keras.saving.get_custom_objects(), "fanin>Orthogonal")
        with pytest.raises(ValueError, match=r"Could not interpret initializer identifier: .*fanin\.compat\.keras"):
            keras.initializers.get(config)


class TestBadInput:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: compat.HeNormal(seed=-1), "seed: expected an integer"),
            (lambda: compat.HeNormal(seed=1.5), "seed: expected an integer"),
            (lambda: compat.RandomNormal(stddev=-1.0), "std must be"),
            (lambda: compat.TruncatedNormal(stddev=math.inf), "std must be"),
            (lambda: compat.RandomUniform(1.0, 0.0), "low must be below high"),
            (lambda: compat.VarianceScaling(0.0), "scale must be"),
            (lambda: compat.VarianceScaling(input_axes=[0]), "expected both or neither"),
            (lambda: compat.HeNormal(fan_in=0), "fan_in: expected"),
            (lambda: compat.Orthogonal(gain=math.nan), "gain must be"),
            (lambda: compat.HeNormal(seed=0)((5,)), r"needs the fans of '' \(shape \(5,\)\)"),
            (lambda: compat.HeNormal(seed=0)((None, 5)), "shape: expected integers"),
            (lambda: compat.Orthogonal(seed=0)((5,)), "needs a matrix"),
        ],
    )
    def test_says_what_and_what_to_do(self, make: Any, message: str) -> None:
        with pytest.raises(BadInput, match=message):
            make()

    @pytest.mark.parametrize(
        "make",
        [
            lambda: compat.get("he_norml"),
            lambda: compat.VarianceScaling(mode="fan"),
            lambda: compat.VarianceScaling(distribution="cauchy"),
            lambda: compat.RandomNormal(seed=0)((2, 2), "int32"),
        ],
    )
    def test_unknown_names_list_the_known(self, make: Any) -> None:
        with pytest.raises(UnknownName, match="Known:"):
            make()

    def test_a_bias_has_no_fans(self) -> None:
        with pytest.raises(BadInput, match=r"needs the fans of 'head/bias'"):
            built(keras.layers.Dense(4, bias_initializer=compat.HeNormal(seed=0), name="head"), 6)


def test_kerass_own_tests_of_its_initializers_pass_but_for_wordings(capsys: pytest.CaptureFixture[str]) -> None:
    script = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "keras_peer_tests.py"))
    assert script["main"]() == 0, capsys.readouterr()
    assert capsys.readouterr().out.endswith("17 of 20 pass, 0 skipped, 3 differ.\n")


ON_JAX = """
import sys, jax, keras, numpy as np
from fanin.compat import keras as compat

def kernels():
    shared = compat.RandomNormal(seed=0)
    layers = [keras.layers.Dense(8, kernel_initializer=shared, name=f"layer_{n}") for n in range(2)]
    for layer in layers:
        layer.build((None, 8))
    return [layer.kernel.value for layer in layers]

whole = kernels()
mesh = keras.distribution.DeviceMesh((2,), ["model"], devices=jax.devices("cpu"))
layouts = keras.distribution.LayoutMap(mesh)
layouts[".*kernel"] = keras.distribution.TensorLayout((None, "model"), mesh)
keras.distribution.set_distribution(keras.distribution.ModelParallel(layout_map=layouts))
sharded = kernels()
assert all(len(kernel.addressable_shards) == 2 for kernel in sharded)
assert all(np.array_equal(a, b) for a, b in zip(whole, sharded))
assert not np.array_equal(*sharded)
np.save(sys.argv[1], whole[0])
"""


@pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed: pip install 'fanin[jax]'")
def test_on_jax_a_sharded_weight_has_the_same_bits_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    command = [sys.executable, "-W", "error", "-c", ON_JAX, str(tmp_path / "kernel.npy")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    here = built(keras.layers.Dense(8, kernel_initializer=compat.RandomNormal(seed=0), name="layer_0"), 8)
    assert np.array_equal(np.load(tmp_path / "kernel.npy"), array(here.kernel))
