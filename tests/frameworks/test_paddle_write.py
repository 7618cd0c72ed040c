"""Plans written into Paddle models: all of it or nothing, and the model otherwise as it was."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import fanin
from fanin.errors import BadInput, CannotWrite, NoParameters

pytest.importorskip("paddle", reason="Paddle is not installed: pip install 'fanin[paddle]'", exc_type=ImportError)

import paddle

from fanin.frameworks.paddle.parameters import require_version

nn = paddle.nn


def net() -> Any:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1D(8), nn.ReLU(), nn.Linear(8, 3))


def state(model: Any) -> dict[str, Any]:
    return {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_what_is_written_is_verified_and_a_change_is_found() -> None:
    model = net()
    plan = fanin.initialize_(model, paddle.zeros([2, 6]), seed=5)
    assert fanin.verify(model, plan, seed=5, blocks=None).ok
    assert not fanin.verify(model, plan, seed=6).ok
    model[3].bias.set_value(paddle.ones([3]))
    found = fanin.verify(model, plan, seed=5)
    assert [d.path for d in found.differences] == ["3.bias"]


def test_dense_weights_are_stored_in_out() -> None:
    model = nn.Linear(6, 8)
    fanin.initialize_(model, paddle.zeros([2, 6]), recipe="lecun", seed=0)
    expected = fanin.fill_(np.empty((8, 6), np.float32), "lecun_normal", name="weight", seed=0)
    assert np.array_equal(model.weight.numpy(), expected.T)


def test_running_statistics_are_no_parameters() -> None:
    model = net()
    before = state(model)
    plan = fanin.initialize_(model, paddle.zeros([2, 6]), seed=0)
    assert [e.parameter.path for e in plan] == ["0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias"]
    after = state(model)
    assert np.array_equal(before["1._variance"], after["1._variance"])


def test_nothing_is_written_where_something_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net()
    plan = fanin.plan(model, paddle.zeros([2, 6]))
    before, original, calls = state(model), paddle.Tensor.set_value, []

    def fails(tensor: Any, value: Any) -> None:
        calls.append(tensor)
        if len(calls) == 4:
            raise KeyboardInterrupt
        original(tensor, value)

    monkeypatch.setattr(paddle.Tensor, "set_value", fails)
    with pytest.raises(KeyboardInterrupt):
        fanin.initialize_(model, recipe=plan, seed=0)
    assert same(state(model), before)


def test_a_plan_for_another_model_writes_nothing() -> None:
    model = net()
    before = state(model)
    with pytest.raises(CannotWrite, match=r"0\.weight: shape \(9, 6\) in the plan, \(8, 6\) in the model"):
        fanin.initialize_(model, recipe=fanin.plan(nn.Sequential(nn.Linear(6, 9)), paddle.zeros([2, 6])), seed=0)
    assert same(state(model), before)


def test_an_initializer_of_the_layer_is_named_with_the_plans() -> None:
    weight = paddle.ParamAttr(initializer=nn.initializer.TruncatedNormal(std=0.02))
    model = nn.Sequential(nn.Linear(6, 8, weight_attr=weight), nn.ReLU(), nn.Conv1D(8, 3, 1, bias_attr=False))
    plan = fanin.plan(model, recipe="he")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fanin.initialize_(model, recipe=plan, seed=0)
    texts = [str(one.message) for one in said]
    assert any("0.weight (TruncatedNormal → normal 1.414/√fan_in)" in text for text in texts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fanin.initialize_(model, recipe="he", overrides={"0.weight": fanin.Keep()}, seed=0)


def test_the_seed_is_drawn_from_paddles_generator() -> None:
    made = []
    for seed in (1, 1, 2):
        paddle.seed(seed)
        model = net()
        fanin.initialize_(model, recipe="he")
        made.append(state(model)["0.weight"])
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


def test_a_lazy_model_gets_its_memory() -> None:
    with paddle.LazyGuard():
        model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    x = paddle.zeros([2, 6])
    with pytest.raises(BadInput, match=r"have no values yet, as paddle.LazyGuard leaves them"):
        fanin.measure(model, x)
    plan = fanin.initialize_(model, x, seed=0)
    assert fanin.verify(model, plan, seed=0).ok
    assert fanin.diagnose(model, paddle.randn([16, 6])).summary == "healthy"


def test_parameters_of_16_bits() -> None:
    model = nn.Linear(6, 8).to(dtype="bfloat16")
    plan = fanin.initialize_(model, recipe="he", seed=0)
    assert plan["weight"].target.dtype == "bfloat16"
    assert fanin.verify(model, plan, seed=0, blocks=None).ok


def test_shared_tensors_are_one_parameter() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
    model[2].weight = model[0].weight
    plan = fanin.plan(model, paddle.zeros([2, 6]))
    assert plan["0.weight"].parameter.also == ("2.weight",)


def test_overrides_by_the_class_of_a_layer() -> None:
    plan = fanin.plan(net(), recipe="he", overrides={nn.Linear: "zeros", "type:paddle.nn.BatchNorm1D": "ones"})
    assert str(plan["0.weight"].initializer) == "zeros"
    assert str(plan["1.bias"].initializer) == "ones"


@pytest.mark.parametrize(("version", "fits"), [("3.2.1", False), ("3.3.0", True), ("4.0.0rc1", True), ("0.0.0", True)])
def test_older_versions_are_refused(version: str, fits: bool) -> None:
    with nullcontext() if fits else pytest.raises(BadInput, match=r"Paddle 3\.3 and newer; this is 3\.2\.1"):
        require_version(version)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(NoParameters, match="ReLU has no parameters"):
        fanin.plan(nn.ReLU(), paddle.zeros([2, 6]))
    with pytest.raises(BadInput, match="seed"):
        fanin.initialize_(net(), recipe="he", seed=-1)
    paddle.enable_static()
    try:
        with pytest.raises(BadInput, match="disable_static"):
            fanin.plan(nn.ReLU())
    finally:
        paddle.disable_static()
