"""Paddle watched: `paddle.Model.fit`, and loops of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fanin
from fanin.errors import BadInput
from fanin.monitor import read_lines

paddle: Any = pytest.importorskip("paddle")
nn: Any = paddle.nn
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
X = np.random.default_rng(0).standard_normal((160, 8)).astype("float32")
Y = np.random.default_rng(1).integers(0, 4, (160, 1))


def quiet(text: str) -> None:
    """What `say` is here."""


def net(depth: int = 1, activation: Any = nn.ReLU) -> Any:
    paddle.seed(0)
    inner = [m for i in range(depth) for m in (nn.Linear(16 if i else 8, 16), activation())]
    return nn.Sequential(*inner, nn.Linear(16, 4))


def fit(*callbacks: Any, model: Any = None, rate: float = 0.05) -> Any:
    model = net() if model is None else model
    whole = paddle.Model(model)
    whole.prepare(paddle.optimizer.SGD(rate, parameters=model.parameters()), nn.CrossEntropyLoss())
    data = paddle.io.TensorDataset([paddle.to_tensor(X), paddle.to_tensor(Y)])
    whole.fit(data, batch_size=16, epochs=2, verbose=0, shuffle=False, callbacks=list(callbacks))
    return whole


def values(whole: Any) -> list[Any]:
    return [p.numpy() for p in whole.network.parameters()]


def test_fit_is_the_same_and_all_of_it_is_seen(tmp_path: Path) -> None:
    from fanin.monitor.paddle import WatchCallback

    callback = WatchCallback(every=5, to=tmp_path, say=quiet)
    watched, plain = fit(callback), fit()
    assert all((a == b).all() for a, b in zip(values(watched), values(plain), strict=True))
    watch = callback.watch
    assert watch is not None
    assert (watch.steps, [record.step for record in watch.records]) == (20, [1, 5, 10, 15, 20])
    assert watch.healthy, str(watch)
    assert [line["kind"] for line in read_lines(tmp_path)] == ["run", *["step"] * 5]
    first = watch.records[0].signals
    assert [layer.path for layer in first.layers] == ["0", "2"]
    assert first.learning_rates == (0.05,)
    for p in first.parameters:  # of stochastic gradient descent
        assert p.update == pytest.approx(0.05 * (p.gradient or 0), rel=1e-3)
    assert {p.path: p.shape for p in first.parameters}["0.weight"] == (16, 8)
    assert not vars(watched._optimizer).keys() & {"step", "minimize"}
    assert not any(layer._forward_post_hooks for layer in watched.network.sublayers())


def test_layers_are_seen_as_they_are() -> None:
    """Beside the same pass by hand."""
    model, x = net(), paddle.to_tensor(X)
    with fanin.watch(model, say=quiet) as w:
        loss = model(x).square().mean()
        loss.backward()
        w.step(loss)
    layer = w.result.records[0].signals.layers[0]
    weight, bias = (p.numpy() for p in model[0].parameters())
    z = X @ weight + bias
    y = np.maximum(z, 0)
    assert layer.value.second_moment == pytest.approx(np.mean(z**2), rel=1e-5)
    assert layer.activated is not None
    assert layer.activated.value.second_moment == pytest.approx(np.mean(y**2), rel=1e-5)
    assert layer.activated.dead == np.mean((y == 0).all(0))
    assert layer.activated.samples == 160
    out = y @ model[2].weight.numpy() + model[2].bias.numpy()
    delta = (2 * out / out.size) @ model[2].weight.numpy().T * (z > 0)
    assert layer.gradient == pytest.approx(np.sum(delta**2), rel=1e-4)


@pytest.mark.parametrize("given", [True, False], ids=["optimizer", "alone"])
def test_gradients_are_seen_before_they_are_cleared_where_the_optimizer_is_given(given: bool) -> None:
    model = net()
    optimizer = paddle.optimizer.Adam(0.01, parameters=model.parameters())
    with fanin.watch(model, every=2, optimizer=optimizer if given else None, say=quiet) as w:
        for _ in range(4):
            loss = nn.functional.cross_entropy(model(paddle.to_tensor(X)), paddle.to_tensor(Y))
            loss.backward()
            optimizer.step()
            optimizer.clear_grad()
            w.step(loss)
    assert [record.step for record in w.result.records] == [1, 2, 4]
    assert all((record.signals.gradient_norm is not None) is given for record in w.result.records)
    assert [onset.finding.code for onset in w.result] == ([] if given else ["T03"])


def test_a_start_that_vanishes_and_a_loss_that_is_lost_are_said() -> None:
    from fanin.monitor.paddle import WatchCallback

    said: list[str] = []
    fit(WatchCallback(every=10, say=said.append), model=net(12, nn.Sigmoid))
    assert "B01 vanishing gradients (error) in 16" in said[0]
    fit(WatchCallback(every=5, say=said.append), rate=1e30)
    assert any("N01 non-finite values" in text for text in said)


def test_nothing_is_left_when_the_loop_is_left() -> None:
    model = net()
    optimizer = paddle.optimizer.SGD(0.1, parameters=model.parameters())

    def interrupted() -> None:
        with fanin.watch(model, optimizer=optimizer, say=quiet):
            model(paddle.to_tensor(X)).sum().backward()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not vars(optimizer).keys() & {"step", "minimize"}
    assert not any(layer._forward_post_hooks for layer in model.sublayers(include_self=True))


def test_a_run_goes_on() -> None:
    from fanin.monitor.paddle import WatchCallback

    first, second = WatchCallback(every=5, say=quiet), WatchCallback(every=5, say=quiet)
    fit(first)
    second.load_state_dict(first.state_dict())
    fit(second)
    assert second.watch is not None
    assert (second.watch.steps, second.watch.records[0].step) == (40, 25)


def test_another_optimizer_is_refused() -> None:
    with pytest.raises(BadInput, match=r"paddle.optimizer.Optimizer; got int"):
        fanin.watch(net(), optimizer=3)
