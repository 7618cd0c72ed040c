"""Run by test_keras_watch.py in a process for each back end, which is chosen when Keras is imported."""

import sys
from typing import Any

import keras
import numpy as np
import pytest

from fanin.errors import BadInput
from fanin.monitor import read_lines
from fanin.monitor.keras import WatchCallback

X = np.random.default_rng(0).standard_normal((160, 8)).astype("float32")
Y = np.random.default_rng(1).integers(0, 4, 160)
COMPILED = keras.backend.backend() != "torch"


def fit(*callbacks: Any, depth: int = 1, activation: str = "relu", rate: float = 0.05, **how: Any) -> Any:
    keras.utils.set_random_seed(0)
    inner = [keras.layers.Dense(16, activation, name=f"inner_{i}") for i in range(depth)]
    dropout = keras.layers.Dropout(0.1, seed=1)
    net = keras.Sequential([keras.Input((8,)), *inner, dropout, keras.layers.Dense(4, name="head")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.SGD(rate), loss, **how)
    net.fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=list(callbacks))
    return net.get_weights()


def quiet(text: str) -> None:
    """What `say` is here."""


def the_run_is_the_same_and_all_is_seen(folder: str) -> None:
    callback = WatchCallback(every=5, to=folder, say=quiet, batch=(X[:64], Y[:64]))
    watched, plain = fit(callback), fit()
    assert all((a == b).all() for a, b in zip(watched, plain, strict=True))
    watch = callback.watch
    assert watch is not None
    assert watch.healthy, watch
    assert watch.steps == 20
    assert [record.step for record in watch.records] == [1, 5, 10, 15, 20], watch
    assert [line["kind"] for line in read_lines(folder)] == ["run", *["step"] * 5]
    losses = [loss for _, loss in watch.losses]
    assert len(losses) == 20
    assert 0.5 < min(losses) < max(losses) < 4, losses
    first = watch.records[0].signals
    assert sorted(p.path for p in first.parameters) == ["head/bias", "head/kernel", "inner_0/bias", "inner_0/kernel"]
    assert all(p.gradient and p.update for p in first.parameters)
    kernel = {p.path: p for p in first.parameters}["inner_0/kernel"]
    assert kernel.shape == (16, 8)
    inner, head = first.layers
    assert (inner.path, head.path) == ("inner_0", "head")
    assert inner.activated
    assert (inner.activated.name, inner.activated.samples) == ("relu", 64)
    assert abs(first.learning_rates[0] - 0.05) < 1e-6


def a_gradient_is_what_the_update_was_made_of() -> None:
    """Where every batch is the kept one, ‖Δw‖ = η ‖g‖ by stochastic gradient descent."""
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(1)])
    net.compile(keras.optimizers.SGD(0.1), "mse")
    x, y = X[:32], X[:32, :1]
    callback = WatchCallback(every=2, say=quiet, batch=(x, y))
    net.fit(x, y, batch_size=32, epochs=4, verbose=0, callbacks=[callback])
    assert callback.watch is not None
    for record in callback.watch.records:
        for p in record.signals.parameters:
            assert p.gradient is not None
            assert p.update is not None
            assert abs(p.update - 0.1 * p.gradient) < 2e-4 * p.update + 1e-7, (record.step, p)


def without_a_batch_no_gradient_is_missed() -> None:
    callback = WatchCallback(every=5, say=quiet)
    fit(callback)
    watch = callback.watch
    assert watch is not None
    assert len(watch) == 0, watch
    assert "keep a batch" in watch.notes[0]
    assert (watch.records[0].signals.gradient_norm is None) is COMPILED
    assert watch.records[0].signals.layers == ()


def a_vanishing_start_is_said_in_words() -> None:
    said: list[str] = []
    fit(WatchCallback(every=10, say=said.append, batch=(X[:64], Y[:64])), depth=12, activation="sigmoid")
    assert "B01 vanishing gradients (error) in inner_8" in said[0], said
    assert "another start: fanin.repair_" in said[0], said


def a_rate_out_of_proportion_and_a_loss_that_is_lost_are_said() -> None:
    said: list[str] = []
    fit(WatchCallback(every=5, say=said.append), rate=1e20)
    assert any("N01 non-finite values" in text for text in said), said


def a_run_goes_on() -> None:
    first = WatchCallback(every=5, say=quiet)
    fit(first)
    second = WatchCallback(every=5, say=quiet)
    second.load_state_dict(first.state_dict())
    fit(second)
    assert second.watch is not None
    assert (second.watch.steps, second.watch.records[0].step) == (40, 25)


def several_steps_in_one_are_one() -> None:
    callback = WatchCallback(every=2, say=quiet)
    fit(callback, steps_per_execution=5)
    assert callback.watch is not None
    assert callback.watch.steps == 4, callback.watch
    assert all(0.5 < loss < 4 for _, loss in callback.watch.losses), callback.watch.losses


def misuse_is_said_when_training_begins() -> None:
    with pytest.raises(BadInput, match="takes a pair"):
        fit(WatchCallback(say=quiet, batch=X))


if __name__ == "__main__":
    the_run_is_the_same_and_all_is_seen(sys.argv[1])
    a_gradient_is_what_the_update_was_made_of()
    without_a_batch_no_gradient_is_missed()
    a_vanishing_start_is_said_in_words()
    a_rate_out_of_proportion_and_a_loss_that_is_lost_are_said()
    a_run_goes_on()
    if COMPILED:  # Keras refuses it on PyTorch
        several_steps_in_one_are_one()
    misuse_is_said_when_training_begins()
