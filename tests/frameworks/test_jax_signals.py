"""What flows through a model of JAX: the moments of PyTorch's net with the same bits, and the same findings."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

import fanin
from fanin.errors import BadInput, CannotWrite

DEPTH, WIDTH = 20, 32
X = np.random.default_rng(0).standard_normal((64, WIDTH), np.float32)
NAMES = {
    f"layers.{2 * i}.{a}": f"{2 * i}.{b}" for i in range(DEPTH) for a, b in (("kernel", "weight"), ("bias", "bias"))
}


def deep() -> Any:
    rngs = nnx.Rngs(0)
    return nnx.Sequential(*[m for _ in range(DEPTH) for m in (nnx.Linear(WIDTH, WIDTH, rngs=rngs), nnx.tanh)])


def square(output: Any) -> Any:
    return (output**2).mean()


def test_signals_are_those_of_pytorch() -> None:
    of_torch = torch.nn.Sequential(*[m for _ in range(DEPTH) for m in (torch.nn.Linear(WIDTH, WIDTH), torch.nn.Tanh())])
    fanin.initialize_(of_torch, torch.from_numpy(X), recipe="xavier", seed=0)
    ours = fanin.initialize(deep(), X, recipe="xavier", seed=0, rename=NAMES)
    expected = fanin.measure(of_torch, torch.from_numpy(X), loss=square)
    found = fanin.measure(ours, X, loss=square)
    assert found.loss == pytest.approx(expected.loss, rel=1e-4)
    assert found.loss_name == expected.loss_name
    assert list(found.values) == list(expected.values)
    for name, moments in expected.values.items():
        assert found.values[name].second_moment == pytest.approx(moments.second_moment, rel=1e-4)
        assert found.values[name].saturated == pytest.approx(moments.saturated, abs=1e-3)
        gradient = expected.gradients[name].second_moment
        assert found.gradients[name].second_moment == pytest.approx(gradient, rel=1e-3)
    for path, name in NAMES.items():
        theirs, own = expected.parameters[name], found.parameters[path]
        assert theirs.gradient
        assert own.gradient
        assert own.gradient.second_moment == pytest.approx(theirs.gradient.second_moment, rel=1e-3)


def test_predictions_are_those_of_pytorch() -> None:
    of_torch = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(16, 4, 3))
    x = np.random.default_rng(0).standard_normal((8, 3, 8, 8), np.float32)
    key = jax.random.key(0)
    layers: list[Any] = [
        eqx.nn.Conv2d(3, 16, 3, padding=1, key=key),
        eqx.nn.Lambda(jax.nn.relu),
        eqx.nn.Conv2d(16, 4, 3, key=key),
    ]
    net = eqx.nn.Sequential(layers)
    expected = fanin.predict(of_torch, torch.from_numpy(x), plan=fanin.plan(of_torch, torch.from_numpy(x)))
    found = fanin.predict(net, x, plan=fanin.plan(net, x))
    assert list(found.values) == list(expected.values)
    for name in found.values:
        assert found.values[name].second_moment == pytest.approx(expected.values[name].second_moment, rel=1e-6)


def test_findings_and_their_remedy() -> None:
    net = fanin.initialize(deep(), X, recipe="normal(std=0.02)", seed=0)
    found = fanin.diagnose(net, X, loss=square)
    assert "vanishing activations" in found.summary
    repaired = fanin.repair_(net, X, loss=square)
    assert repaired.after.summary == "healthy"
    assert fanin.diagnose(net, X, loss=square).summary == "healthy"


def test_a_loss_with_a_target_takes_the_last_of_the_batch() -> None:
    net = fanin.initialize(deep(), X, recipe="xavier", seed=0)

    def each(output: Any, target: Any) -> Any:
        return ((output - target) ** 2).sum(-1)

    assert "healthy" in fanin.diagnose(net, X, X, loss=each).summary
    with pytest.raises(BadInput, match="takes an output and a target"):
        fanin.diagnose(net, X, loss=each)
    with pytest.raises(BadInput, match="an array with one element"):
        fanin.measure(net, X, loss=lambda output: output)
    with pytest.raises(BadInput, match=r"failed under jax\.jit"):
        fanin.measure(net, X, loss=lambda output: float(output.mean()))


def test_a_plan_is_measured_in_place_where_there_is_a_place() -> None:
    net = deep()
    before = np.asarray(net.layers[0].kernel[...])
    plan = fanin.plan(net, X, recipe="zeros")
    assert fanin.measure(net, X, plan=plan).values["linear"].second_moment == 0
    assert (np.asarray(net.layers[0].kernel[...]) == before).all()
    module = eqx.nn.Linear(WIDTH, 4, key=jax.random.key(0))
    with pytest.raises(CannotWrite, match="what the plan makes of it"):
        fanin.measure(module, X, plan=fanin.plan(module, X, recipe="zeros"))


def test_moments_neither_overflow_nor_vanish() -> None:
    def net(w: Any, x: Any) -> Any:
        return x * 1e30 @ w

    found = fanin.measure((net, jnp.eye(WIDTH)), X).values["linear"]
    assert found.second_moment == pytest.approx(1e60 * float((X.astype(np.float64) ** 2).mean()), rel=1e-5)
    assert fanin.measure((net, jnp.eye(WIDTH)), X * 1e30).values["linear"].non_finite > 0.9


def test_values_that_the_data_should_not_have_are_named() -> None:
    x = X.copy()
    x[3, 2] = np.nan
    with pytest.raises(BadInput, match=r"first at index \(3, 2\)"):
        fanin.diagnose(deep(), x)


def test_a_class_token_for_all_samples_is_as_many_times_there() -> None:
    """It is small, so that a norm sends back a gradient of thousands: at one position of five."""
    x = np.random.default_rng(0).standard_normal((64, 4, WIDTH), np.float32)

    def net(params: Any, x: Any) -> Any:
        token = jnp.broadcast_to(params["token"], (len(x), 1, WIDTH))
        y = jnp.concatenate([token, x @ params["inner"]], axis=1)
        y = y / jnp.sqrt((y**2).mean(-1, keepdims=True) + 1e-6) * params["scale"]
        return y[:, 0] @ params["out"]

    rng = np.random.default_rng(0)
    drawn = {"token": 0.02 * rng.standard_normal((1, 1, WIDTH)), "inner": rng.standard_normal((WIDTH, WIDTH)) / 6}
    drawn |= {"scale": np.ones(WIDTH), "out": rng.standard_normal((WIDTH, 8)) / 6}
    model = net, {name: jnp.asarray(a, jnp.float32) for name, a in drawn.items()}
    predicted, measured = fanin.predict(model, x), fanin.measure(model, x)
    found, seen = (s.parameters["token"].gradient for s in (predicted, measured))
    assert found
    assert seen
    assert found.second_moment == pytest.approx(seen.second_moment, rel=0.5)
    assert predicted.gradients["cat"].second_moment == pytest.approx(measured.gradients["cat"].second_moment, rel=0.3)
