"""Recurrent cells of Flax and Equinox, predicted as PyTorch's layers over a sequence are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

import fanin
from fanin.errors import BadInput
from fanin.frameworks import adapter_of
from fanin.frameworks.jax.sequences import gathered

UNITS, STEPS = 64, 12
X = np.random.default_rng(0).standard_normal((32, STEPS, 32)).astype("float32")


def over_time(name: str, **how: Any) -> Any:
    cell = getattr(nnx, name)(32, UNITS, rngs=nnx.Rngs(0))
    return nnx.RNN(cell, rngs=nnx.Rngs(1), **how)


class Whole(torch.nn.Module):
    """What a recurrent layer of PyTorch gives at all steps."""

    def __init__(self, layer: Callable[..., torch.nn.Module]) -> None:
        super().__init__()
        self.layer = layer(32, UNITS, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "layer", "node"),
    [
        ("OptimizedLSTMCell", torch.nn.LSTM, "lstm"),
        ("GRUCell", torch.nn.GRU, "gru"),
        ("SimpleCell", torch.nn.RNN, "rnn_tanh"),
    ],
)
def test_a_cell_of_flax_is_predicted_as_the_layer_of_pytorch(name: str, layer: Any, node: str) -> None:
    ours, theirs, x = over_time(name), Whole(layer), torch.from_numpy(X)
    found = fanin.predict(ours, X, plan=fanin.plan(ours, X, recipe="xavier"))
    expected = fanin.predict(theirs, x, plan=fanin.plan(theirs, x, recipe="xavier"))
    assert found.values["stack"].second_moment == pytest.approx(expected.values[node].second_moment, rel=0.02)
    for own, other in (("dense_i", "weight_ih_l0"), ("dense_h", "weight_hh_l0")):
        back, expected_back = found.parameters[f"cell.{own}.kernel"], expected.parameters[f"layer.{other}"]
        assert back.gradient
        assert expected_back.gradient
        assert back.gradient.second_moment == pytest.approx(expected_back.gradient.second_moment, rel=0.1)


@pytest.mark.parametrize("name", ["OptimizedLSTMCell", "GRUCell", "SimpleCell"])
def test_a_prediction_is_what_is_measured(name: str) -> None:
    model = nnx.Sequential(over_time(name), nnx.Linear(UNITS, 8, rngs=nnx.Rngs(2)))
    plan = fanin.plan(model, X, recipe="xavier")
    predicted = fanin.predict(model, X, plan=plan)
    measured = fanin.measure(model, X, plan=plan, seeds=3)
    for node in ("stack", "linear"):
        assert predicted.values[node].second_moment == pytest.approx(measured.values[node].second_moment, rel=0.1)
        gradient = measured.gradients[node].second_moment
        assert predicted.gradients[node].second_moment == pytest.approx(gradient, rel=0.1)
    for path, seen in measured.parameters.items():
        if path.endswith("kernel"):
            found = predicted.parameters[path].gradient
            assert found
            assert seen.gradient
            assert found.second_moment == pytest.approx(seen.gradient.second_moment, rel=0.6)  # of 64 units


class Last(eqx.Module):
    """The last h of a scan."""

    cell: eqx.nn.LSTMCell
    reverse: bool = eqx.field(static=True)

    def __call__(self, x: Any) -> Any:
        state = jnp.zeros(UNITS), jnp.zeros(UNITS)
        (h, _), _ = jax.lax.scan(lambda s, a: (self.cell(a, s), None), state, x, reverse=self.reverse)
        return h


@pytest.mark.parametrize("reverse", [False, True])
def test_the_last_state_of_a_scan_of_equinox_is_predicted(reverse: bool) -> None:
    model = Last(eqx.nn.LSTMCell(32, UNITS, key=jax.random.key(0)), reverse)
    predicted, measured = fanin.predict(model, X), fanin.measure(model, X)
    last = f"lstm_cell_{STEPS - 1}"
    assert predicted.values[last].second_moment == pytest.approx(measured.values[last].second_moment, rel=0.2)
    found = predicted.parameters["cell.weight_ih"].gradient
    seen = measured.parameters["cell.weight_ih"].gradient
    assert found
    assert seen
    assert found.second_moment == pytest.approx(seen.second_moment, rel=0.5)


def test_steps_in_both_directions_are_two_sequences() -> None:
    model = nnx.Bidirectional(over_time("GRUCell"), over_time("GRUCell"), rngs=nnx.Rngs(0))
    graph = adapter_of(model).trace(model, X).graph
    ops = [node.op for node in gathered(graph).graph.nodes]
    assert ops.count("gru") == 2
    assert "gru_cell" not in ops
    assert fanin.predict(model, X).values["stack_1"].second_moment > 0


def test_the_state_that_a_sequence_does_not_show_keeps_its_steps() -> None:
    """The c of an LSTM is returned: it is read by more than the next step."""
    model = over_time("OptimizedLSTMCell", return_carry=True)
    graph = adapter_of(model).trace(model, X).graph
    assert gathered(graph).graph is graph
    with pytest.raises(BadInput, match=r"lstm_cell .* has no rule"):
        fanin.predict(model, X)
