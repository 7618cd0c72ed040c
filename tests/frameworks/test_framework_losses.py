"""Losses in every framework: predicted as PyTorch predicts them, and held against chance by the same rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import fanin
from fanin.errors import BadInput
from fanin.frameworks import adapter_of

optax: Any = pytest.importorskip("optax")
X = np.random.default_rng(0).standard_normal((64, 32)).astype("float32")
LABELS = np.random.default_rng(1).integers(0, 10, 64)
BITS = (LABELS[:, None] % 2 * np.ones((1, 10))).astype("float32")
TARGETS = np.random.default_rng(2).standard_normal((64, 10)).astype("float32")
WIDTH, CLASSES = 128, 10
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def of_torch() -> Any:
    return torch.nn.Sequential(torch.nn.Linear(32, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, CLASSES))


def net(params: Any, x: Any) -> Any:
    return jax.nn.relu(x @ params["0.weight"]) @ params["2.weight"]


def of_jax() -> Any:
    return net, {"0.weight": jnp.zeros((32, WIDTH)), "2.weight": jnp.zeros((WIDTH, CLASSES))}


def of_keras() -> Any:
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    hidden = keras.layers.Dense(WIDTH, "relu", name="a")
    return keras.Sequential([keras.Input((32,)), hidden, keras.layers.Dense(CLASSES, name="b")])


def of_paddle() -> Any:
    paddle = pytest.importorskip("paddle")
    paddle.seed(0)
    return paddle.nn.Sequential(paddle.nn.Linear(32, WIDTH), paddle.nn.ReLU(), paddle.nn.Linear(WIDTH, CLASSES))


def losses(framework: str) -> dict[str, Any]:
    """By name: the loss as the framework has it, of an output and a target."""
    if framework == "torch":
        return {
            "cross-entropy": F.cross_entropy,
            "binary": F.binary_cross_entropy_with_logits,
            "squared": F.mse_loss,
        }
    if framework == "jax":
        return {
            "cross-entropy": optax.softmax_cross_entropy_with_integer_labels,
            "binary": optax.sigmoid_binary_cross_entropy,
            "squared": optax.squared_error,
        }
    if framework == "keras":
        keras: Any = pytest.importorskip("keras")
        return {
            "cross-entropy": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "binary": keras.losses.BinaryCrossentropy(from_logits=True),
            "squared": keras.losses.MeanSquaredError(),
        }
    nn: Any = pytest.importorskip("paddle").nn
    return {"cross-entropy": nn.CrossEntropyLoss(), "binary": nn.BCEWithLogitsLoss(), "squared": nn.MSELoss()}


def tensor(framework: str, array: Any) -> Any:
    if framework == "torch":
        return torch.from_numpy(array)
    return pytest.importorskip("paddle").to_tensor(array) if framework == "paddle" else array


MODELS: dict[str, Callable[[], Any]] = {"torch": of_torch, "jax": of_jax, "keras": of_keras, "paddle": of_paddle}
TARGET = {"cross-entropy": LABELS, "binary": BITS, "squared": TARGETS}
CHANCE = {
    "cross-entropy": (math.log(10), 10),
    "binary": (math.log(2), 2),
    "squared": (float(np.mean(TARGETS**2)), None),
}


@pytest.mark.parametrize("name", ["cross-entropy", "binary", "squared"])
@pytest.mark.parametrize("framework", ["jax", "keras", "paddle"])
def test_a_predicted_loss_and_its_gradients_are_those_of_pytorch(framework: str, name: str) -> None:
    found = []
    for one in ("torch", framework):
        model, x, target = MODELS[one](), tensor(one, X), tensor(one, TARGET[name])
        plan = fanin.plan(model, x, recipe="he")
        found.append(fanin.predict(model, x, target, plan=plan, loss=losses(one)[name]))
    of_torch, other = found
    assert other.loss == pytest.approx(of_torch.loss, rel=0.05)  # of eight draws of the outputs each
    assert len(other.gradients) >= 3
    theirs = [of_torch.gradients[n].second_moment for n in ("linear", "relu", "linear_1")]
    ours = [m.second_moment for m in other.gradients.values()]
    assert ours == pytest.approx(theirs, rel=0.1)
    assert all(p.gradient for p in other.parameters.values())


@pytest.mark.parametrize("framework", ["jax", "keras", "paddle"])
def test_a_predicted_loss_is_what_is_measured(framework: str) -> None:
    model, x, target = MODELS[framework](), tensor(framework, X), tensor(framework, LABELS)
    loss = losses(framework)["cross-entropy"]
    plan = fanin.plan(model, x, recipe="he")
    if framework == "jax":
        params = fanin.initialize(model, x, recipe=plan, seed=0)
        predicted, measured = (f((net, params), x, target, loss=loss) for f in (fanin.predict, fanin.measure))
    else:
        predicted = fanin.predict(model, x, target, plan=plan, loss=loss)
        measured = fanin.measure(model, x, target, plan=plan, loss=loss, seeds=2)
    assert predicted.loss_name == measured.loss_name
    assert predicted.loss == pytest.approx(measured.loss, rel=0.15)
    for node, seen in measured.gradients.items():
        assert predicted.gradients[node].second_moment == pytest.approx(seen.second_moment, rel=0.25)


@pytest.mark.parametrize("name", ["cross-entropy", "binary", "squared"])
@pytest.mark.parametrize("framework", ["torch", "jax", "keras", "paddle"])
def test_chance_is_the_loss_of_logits_that_are_0(framework: str, name: str) -> None:
    model, adapter = MODELS[framework](), adapter_of(MODELS[framework]())
    example = tensor(framework, X), tensor(framework, TARGET[name])
    batch, *_ = adapter.batches_of(model, example, losses(framework)[name], 1)
    found = adapter.stake(adapter.trace(model, *batch.example), model, batch.loss)
    loss, classes = CHANCE[name]
    assert found.loss == pytest.approx(loss, rel=1e-5)
    assert found.classes == classes
    assert found.dim == (1 if name == "cross-entropy" else None)


@pytest.mark.parametrize("framework", ["jax", "keras", "paddle"])
def test_a_readout_that_is_too_wide_is_found_by_its_first_loss(framework: str) -> None:
    model, x, target = MODELS[framework](), tensor(framework, X), tensor(framework, LABELS)
    loss = losses(framework)["cross-entropy"]
    last = {"jax": "2.weight", "keras": "b/kernel", "paddle": "2.weight"}[framework]
    plan = fanin.plan(model, x, recipe="he", overrides={last: fanin.Normal(2.0)})
    if framework == "jax":
        model = net, fanin.initialize(model, x, recipe=plan, seed=0)
    else:
        fanin.initialize_(model, x, recipe=plan, seed=0)
    found = {one.code: one for one in fanin.diagnose(model, x, target, loss=loss).findings}
    assert "ln 10, of 10 classes" in found["L01"].what
    assert "logits of one sample differ by a standard deviation of" in found["L01"].why


def test_a_model_that_ends_in_a_softmax_has_its_logits_before_it() -> None:
    keras: Any = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((32,)), keras.layers.Dense(CLASSES, "softmax", name="b")])
    loss = keras.losses.SparseCategoricalCrossentropy()
    adapter = adapter_of(model)
    batch, *_ = adapter.batches_of(model, (X, LABELS), loss, 1)
    found = adapter.stake(adapter.trace(model, X), model, batch.loss)
    assert (found.logits, found.classes) == ("linear", 10)
    assert found.loss == pytest.approx(math.log(10), rel=1e-4)


def test_a_loss_that_fails_is_said_with_its_name() -> None:
    def wrong(out: Any) -> Any:
        return out["nothing"]

    params = {"0.weight": jnp.ones((32, WIDTH)), "2.weight": jnp.ones((WIDTH, CLASSES))}
    with pytest.raises(BadInput, match="The loss, wrong, failed"):
        fanin.predict((net, params), X, loss=wrong)
    with pytest.raises(BadInput, match="takes an output and a target"):
        fanin.predict((net, params), X, loss=optax.softmax_cross_entropy_with_integer_labels)
