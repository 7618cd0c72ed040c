"""What flows through Keras models, measured and predicted; on PyTorch here, on JAX in `test_keras_on_jax.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fanin
from fanin.errors import BadInput, ShapeMismatch

keras: Any = pytest.importorskip("keras")
layers: Any = keras.layers
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def noise(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def deep(depth: int, width: int = 64) -> Any:
    keras.utils.set_random_seed(0)
    inner = [layers.Dense(width, activation="relu") for _ in range(depth)]
    return keras.Sequential([keras.Input((width,)), *inner, layers.Dense(10)])


def convolutional() -> Any:
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(16, 3, padding="same", name="stem")(x)
    y = layers.ReLU()(layers.BatchNormalization(name="norm")(y))
    y = layers.Dropout(0.5)(y)
    y = layers.Conv2D(16, 3, padding="same", activation="tanh", name="second")(y)
    return keras.Model(x, layers.Dense(4, name="head")(layers.GlobalAveragePooling2D()(y)))


def values_of(model: Any) -> list[Any]:
    return [np.array(keras.ops.convert_to_numpy(w.value)) for w in model.weights]


def test_moments_are_those_of_a_hand_written_pass() -> None:
    model, x = deep(1, 8), noise(5, 8)
    plan = fanin.initialize_(model, recipe="he", seed=0)
    w1, b1, w2, b2 = values_of(model)
    z = x @ w1 + b1
    y = np.maximum(z, 0)
    out = y @ w2 + b2
    seen = fanin.measure(model, x, loss=lambda output: keras.ops.mean(keras.ops.square(output)))
    delta = 2 * out / out.size
    back = delta @ w2.T
    expected = {"linear": z, "relu": y, "linear_1": out}
    gradients = {"linear": back * (z > 0), "relu": back, "linear_1": delta}
    for name, values in expected.items():
        assert seen.values[name].second_moment == pytest.approx(np.mean(values**2), rel=1e-5)
        assert seen.values[name].zeros == pytest.approx(np.mean(values == 0))
        assert seen.gradients[name].second_moment == pytest.approx(np.mean(gradients[name] ** 2), rel=1e-5)
    kernel = seen.parameters["dense/kernel"]
    of_w1 = x.T @ gradients["linear"]
    assert kernel.gradient is not None
    assert kernel.gradient.second_moment == pytest.approx(np.mean(of_w1**2), rel=1e-5)
    assert kernel.value.second_moment == pytest.approx(plan.entries[0].std ** 2, rel=0.5)
    assert seen.loss == pytest.approx(np.mean(out**2), rel=1e-5)
    assert seen.origin == "measured"


def test_a_measurement_leaves_norms_generators_and_variables_alone() -> None:
    model, x = convolutional(), noise(4, 8, 8, 3)
    before = values_of(model)
    first = fanin.measure(model, x)
    assert fanin.measure(model, x) == first  # the same masks, too
    assert first.values["dropout"].zeros > 0.6
    fanin.measure(model, x, plan=fanin.plan(model), seeds=2)
    assert all(np.array_equal(a, b) for a, b in zip(before, values_of(model), strict=True))
    assert model.layers[4].rate == 0.5
    assert model.get_layer("second").activation is keras.activations.tanh


def test_a_prediction_is_what_is_measured_on_average() -> None:
    model, x = deep(5), noise(64, 64)
    plan = fanin.plan(model, recipe="he")
    predicted, measured = fanin.predict(model, x, plan=plan), fanin.measure(model, x, plan=plan, seeds=8)
    summary = predicted.compare(measured)
    for name, seen in measured.values.items():
        assert predicted.values[name].second_moment == pytest.approx(seen.second_moment, rel=0.25), name
    for name, gradient in measured.gradients.items():
        assert predicted.gradients[name].second_moment == pytest.approx(gradient.second_moment, rel=0.3), name
    assert summary.rows
    assert predicted.origin == "predicted"


def test_convolutions_norms_and_dropout_are_predicted_too() -> None:
    model, x = convolutional(), noise(16, 8, 8, 3)
    plan = fanin.plan(model)
    predicted, measured = fanin.predict(model, x, plan=plan), fanin.measure(model, x, plan=plan, seeds=8)
    for name in ("conv2d", "batch_norm", "relu", "dropout", "conv2d_1", "tanh"):
        assert predicted.values[name].second_moment == pytest.approx(measured.values[name].second_moment, rel=0.25)


def test_a_sick_net_is_found_and_repaired() -> None:
    model, x = deep(30), noise(64, 64)
    labels = np.arange(64) % 10
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    sick = fanin.diagnose(model, x, labels, loss=loss)
    assert {"F01", "B01"} <= {finding.code for finding in sick}
    assert sick.findings[0].place.module.startswith("dense")
    repaired = fanin.repair_(model, x, labels, loss=loss)
    assert repaired.after.summary == "healthy"
    assert fanin.diagnose(model, x, labels, loss=loss).summary == "healthy"


def test_a_healthy_net_is_healthy_and_its_start_is_recognised() -> None:
    model = deep(30)
    fanin.initialize_(model, seed=0)
    assert fanin.diagnose(model, noise(64, 64)).summary == "healthy"
    keras_made = fanin.plan(deep(2), recipe="as_built")
    assert str(keras_made.entries[0].initializer) == "uniform 1/√fan_avg"  # Glorot's, the default of Keras


def test_data_that_is_not_normalised_is_found() -> None:
    found = fanin.diagnose(deep(2), 128 + 50 * noise(32, 64))
    assert "input not normalised" in found.summary


def test_bad_input_is_explained() -> None:
    model, x = deep(2), noise(4, 64)
    with pytest.raises(BadInput, match="One batch is needed"):
        fanin.measure(model)
    with pytest.raises(ShapeMismatch, match="cannot be called with this example"):
        fanin.measure(model, noise(4, 63))
    with pytest.raises(BadInput, match="must return a tensor with one element; got shape"):
        fanin.measure(model, x, loss=lambda out: out)
    with pytest.raises(BadInput, match="a lambda, failed: ZeroDivisionError"):
        fanin.measure(model, x, loss=lambda out: 1 / 0)
    with pytest.raises(BadInput, match="Give the target as the last of the batch"):
        fanin.diagnose(model, x, loss=keras.losses.MeanSquaredError())
    with pytest.raises(BadInput, match="holds 1 values that are no finite numbers"):
        fanin.diagnose(model, np.where(np.arange(64) == 3, np.nan, x)[:1])
    with pytest.raises(BadInput, match="optimizer= is for PyTorch's"):
        fanin.diagnose(model, x, optimizer=keras.optimizers.Adam())
    with pytest.raises(BadInput, match="loaders are read for PyTorch only"):
        fanin.diagnose(model, iter([x]))
    assert fanin.predict(model, x, loss=keras.ops.mean).loss_name == "mean"  # of the output alone, though it is Keras's
    shift = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.UnitNormalization(), layers.Dense(2)])
    with pytest.raises(BadInput, match=r"has no rule that holds here.*rules="):
        fanin.predict(shift, noise(2, 4))
