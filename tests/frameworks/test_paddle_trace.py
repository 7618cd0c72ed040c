"""What is seen of a Paddle model in one symbolic run, and that the model does not notice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fanin
from fanin.errors import BadInput, CannotTrace, ShapeMismatch
from fanin.graph import Role

pytest.importorskip("paddle", reason="Paddle is not installed: pip install 'fanin[paddle]'", exc_type=ImportError)

import paddle

from fanin.frameworks.paddle import trace

nn = paddle.nn


class Residual(paddle.nn.Layer):  # type: ignore[misc]  # Paddle has no types
    """One branch, and a functional activation behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(approximate=True), nn.Linear(16, 8))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        return self.head(nn.functional.leaky_relu(x + self.inner(x), 0.3))


def test_branches_activations_and_lines_are_seen() -> None:
    graph = trace(Residual(), paddle.zeros([2, 5, 8])).graph
    by_op = {node.op: node for node in graph.nodes}
    assert str(by_op["gelu"].activation) == "gelu_tanh"
    assert str(by_op["leaky_relu"].activation) == "leaky_relu(negative_slope=0.3)"
    assert by_op["gelu"].module == "inner.2"
    assert by_op["add"].source.startswith("test_paddle_trace.py:")
    roles = {p.path: p.further for p in graph.parameters}
    assert Role.RESIDUAL_OUT in roles["inner.3.weight"]
    assert Role.READOUT in roles["head.weight"]


def test_a_tied_readout_is_seen() -> None:
    class Tied(paddle.nn.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.table, self.hidden = nn.Embedding(20, 8), nn.Linear(8, 8)

        def forward(self, x: Any) -> Any:
            return paddle.matmul(nn.functional.relu(self.hidden(self.table(x))), self.table.weight, transpose_y=True)

    table = fanin.plan(Tied(), paddle.zeros([2, 3], "int64"))["table.weight"]
    assert "embedding tied to a readout" in table.why


def test_parameters_of_a_layer_of_the_users_own() -> None:
    class Own(paddle.nn.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.w = self.create_parameter([8, 16])

        def forward(self, x: Any) -> Any:
            return nn.functional.relu(paddle.matmul(x, self.w))

    entry = fanin.plan(nn.Sequential(Own(), nn.Linear(16, 4)), paddle.zeros([2, 8]))["0.w"]
    assert entry.parameter.fans == fanin.graph.Fans(8, 16)
    assert "feeds relu" in entry.why


def test_constants_have_their_values() -> None:
    class Positions(paddle.nn.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(7, 8)

        def forward(self, x: Any) -> Any:
            return x + self.table(paddle.arange(x.shape[1]))

    traced = trace(Positions(), paddle.zeros([2, 5, 8]))
    assert [c.tolist() for c in traced.constants.values()] == [[0, 1, 2, 3, 4]]
    assert Role.POSITION in traced.graph.parameters[0].further


def test_a_mapping_is_passed_as_keywords() -> None:
    class Two(paddle.nn.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(6, 4)

        def forward(self, left: Any, right: Any = None) -> Any:
            return self.a(left) + self.b(right)

    traced = trace(Two(), {"left": paddle.zeros([2, 4]), "right": paddle.zeros([2, 6])})
    assert [one.shape for one in traced.graph.inputs] == [(2, 4), (2, 6)]


def test_the_model_does_not_notice() -> None:
    class Remembers(paddle.nn.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1D(8)
            self.last: Any = None
            self.register_buffer("seen", paddle.zeros([1]))

        def forward(self, x: Any) -> Any:
            self.last = self.norm(x)
            self.seen = self.last.mean()
            return nn.functional.dropout(self.last)

    model, x = Remembers(), paddle.randn([4, 8])
    hooks = [dict(layer._forward_pre_hooks) for layer in model.sublayers(include_self=True)]
    paddle.seed(3)
    expected = paddle.rand([4]).tolist()
    paddle.seed(3)
    before = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    fanin.plan(model, x)
    fanin.measure(model, x)
    assert model.last is None
    assert all(np.array_equal(before[name], tensor.numpy()) for name, tensor in model.state_dict().items())
    assert [dict(layer._forward_pre_hooks) for layer in model.sublayers(include_self=True)] == hooks
    assert paddle.rand([4]).tolist() == expected
    assert model.norm.weight.grad is None
    assert model.training
    assert paddle.in_dynamic_mode()


def test_names_that_two_parameters_share() -> None:
    def one() -> Any:
        with paddle.utils.unique_name.guard():
            return nn.Linear(8, 8)

    model = nn.Sequential(one(), nn.ReLU(), one())
    names = [p.name for p in model.parameters()]
    assert names[0] == names[2]
    plan = fanin.plan(model, paddle.zeros([2, 8]))
    assert "feeds relu" in plan["0.weight"].why
    assert Role.READOUT in plan["2.weight"].parameter.roles
    fanin.initialize_(model, recipe=plan, seed=0)
    x = paddle.randn([4, 8])
    seen = fanin.measure(model, x, loss=lambda out: (out**2).mean())
    assert seen.loss == pytest.approx(float((model(x) ** 2).mean()), rel=1e-5)
    assert all(parameter.gradient is not None for parameter in seen.parameters.values())
    assert [p.name for p in model.parameters()] == names


def test_messages_say_where() -> None:
    chain = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(5, 2))
    with pytest.raises(ShapeMismatch, match=r"Layer '2', Linear\(in_features=5.*\[4\].*\[5\]"):
        fanin.plan(chain, paddle.zeros([2, 8]))
    with pytest.raises(ShapeMismatch, match=r"cannot be called with this example.*3 were given"):
        fanin.plan(chain, paddle.zeros([2, 8]), paddle.zeros([2]))
    with pytest.raises(BadInput, match="The example holds no tensor; got str"):
        fanin.plan(chain, "hello")

    class Decides(paddle.nn.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(8, 8)

        def forward(self, x: Any) -> Any:
            y = self.inner(x)
            return y if y.sum() > 0 else -y

    with pytest.raises(CannotTrace, match="plan\\(model\\), without an example, runs nothing"):
        fanin.plan(Decides(), paddle.zeros([2, 8]))
    assert "without an example" in fanin.plan(Decides()).notes[0]


def test_a_simple_recurrence_has_the_activation_that_it_was_given() -> None:
    for activation in ("tanh", "relu"):
        layer = nn.SimpleRNN(4, 8, activation=activation)
        graph = fanin.frameworks.adapter_of(layer).trace(layer, paddle.zeros([2, 5, 4])).graph
        assert [node.op for node in graph.nodes] == [f"rnn_{activation}"]
