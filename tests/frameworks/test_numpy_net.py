from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fanin
from fanin.compat.numpy import Net, layer
from fanin.errors import BadInput, CannotWrite, UnknownName
from fanin.graph import Role


def shallow(**shapes: tuple[int, ...]) -> Net:
    sizes = {"W1": (6, 4), "b1": (4,), "W2": (4, 3)} | shapes
    layers = [
        layer("linear", weight="W1", bias="b1", axes=("in", "out"), activation="relu"),
        layer("linear", weight="W2", axes=("in", "out")),
    ]
    return Net(sizes, layers)


def test_initialize_fills_the_callers_own_arrays_and_verify_knows_them() -> None:
    mine = np.zeros((6, 4), np.float32)
    net = Net({"W1": mine}, [layer("linear", weight="W1", axes=("in", "out"))])
    plan = fanin.initialize_(net, recipe="he", seed=1)
    assert mine.std() > 0
    assert bool(fanin.verify(net, plan, seed=1, blocks=None))
    mine[2, 1] += 1
    found = fanin.verify(net, plan, seed=1)
    assert (found.ok, found.differences[0].element) == (False, (1, 2))  # (out, in): the logical weight


def test_initialize_gives_new_arrays_and_leaves_those_it_was_given() -> None:
    net = shallow()
    other = fanin.initialize(net, recipe="he", seed=1)
    assert not net["W1"].any()
    assert other["W1"].any()
    assert list(other) == ["W1", "b1", "W2"]
    assert np.array_equal(fanin.initialize(net, recipe="he", seed=1)["W2"], other["W2"])


def test_the_plan_knows_what_the_net_does() -> None:
    plan = fanin.plan(shallow())
    assert "feeds relu" in plan["W1"].why
    assert Role.READOUT in plan["W2"].parameter.roles
    assert (plan["W1"].parameter.shape, plan["b1"].parameter.role) == ((4, 6), Role.BIAS)


def test_a_bias_may_lie_as_a_column() -> None:
    net = Net({"W": (4, 6), "b": (4, 1)}, [layer("linear", weight="W", bias="b")])
    plan = fanin.initialize_(net, recipe="normal(std=1.0)", overrides={"b": "normal(std=1.0)"}, seed=0)
    flat = Net({"W": (4, 6), "b": (4,)}, [layer("linear", weight="W", bias="b")])
    assert plan.digest(0) == fanin.initialize_(flat, recipe=plan, seed=0).digest(0)
    assert np.array_equal(net["b"].ravel(), flat["b"])


def test_residual_branches_are_seen_where_layers_say_what_they_read() -> None:
    net = Net(
        {"W0": (8, 8), "W1": (8, 8), "W2": (8, 8)},
        [
            layer("linear", weight="W0", name="stem"),
            layer("linear", weight="W1", activation="gelu", name="inner"),
            layer("linear", weight="W2", name="end"),
            layer("add", reads=("stem", "end")),
        ],
    )
    assert Role.RESIDUAL_OUT in fanin.plan(net, recipe="he")["W2"].parameter.roles


def test_what_flows_is_predicted() -> None:
    net, x = shallow(W1=(256, 128), b1=(128,), W2=(128, 64)), np.random.default_rng(0).standard_normal((64, 256))
    plan = fanin.initialize_(net, recipe="he", seed=0)
    predicted = fanin.predict(net, x, plan=plan)
    hidden = np.maximum(x @ net["W1"] + net["b1"], 0)
    assert abs(predicted.values["relu" if "relu" in predicted.values else "linear_1_relu"].second_moment - 1) < 0.05
    assert abs(np.mean(hidden**2) - 1) < 0.1
    as_it_is = fanin.predict(net, x)
    assert abs(as_it_is.values["linear_2"].second_moment / predicted.values["linear_2"].second_moment - 1) < 0.05


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: fanin.plan({"W": np.zeros((2, 3))}), r"dict of arrays does not say .*weight='W'"),
        (lambda: fanin.plan([np.zeros((2, 3))]), "list of arrays does not say"),
        (lambda: layer("dense", weight="W"), "no layer of a NumPy net 'dense'"),
        (lambda: layer("linear"), "needs the name of its array"),
        (lambda: layer("leaky_relu(slope=2)"), "slope"),
        (lambda: fanin.plan(Net({"W": (2, 3)}, [layer("linear", weight="V")])), "'V'; the net has W"),
        (lambda: fanin.plan(Net({"W": (2, 3, 4)}, [layer("linear", weight="W")])), "has 2 axes; got shape"),
        (lambda: fanin.plan(Net({"W": (2, 3, 3, 3)}, [layer("conv2d", weight="W")])), "example="),
        (lambda: fanin.plan(Net({"W": (2, 3)}, [layer("linear", weight="W", reads="y")])), "reads 'y'; before it"),
        (lambda: fanin.plan(Net({"W": (2, 3)}, [layer("relu")])), "no layer with a weight"),
        (lambda: fanin.plan(shallow(W2=(5, 3))), "takes 5 inputs; it reads shape"),
        (lambda: fanin.plan(shallow(), np.zeros((2, 7))), "takes 6 inputs; it reads shape"),
        (lambda: fanin.measure(shallow(), np.zeros((2, 6))), "fanin.measure does not serve models of numpy"),
        (lambda: fanin.predict(shallow(), np.zeros((2, 6)), loss=np.mean), "takes no loss"),
    ],
)
def test_bad_input_is_explained(make: Callable[[], Any], what: str) -> None:
    with pytest.raises((BadInput, UnknownName), match=what):
        make()


def test_a_failure_leaves_every_array_as_it_was() -> None:
    net = shallow()
    plan = fanin.plan(net, recipe="he")
    net["W2"].setflags(write=False)
    with pytest.raises(CannotWrite, match="W2 is read-only"):
        fanin.initialize_(net, recipe=plan, seed=0)
    assert not net["W1"].any()
    with pytest.raises(CannotWrite, match=r"W2: shape \(3, 4\) in the plan, \(5, 4\) in the model"):
        fanin.initialize_(shallow(W2=(4, 5)), recipe=plan, seed=0)


def test_bfloat16_arrays_of_ml_dtypes() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    net = Net({"W": np.zeros((6, 4), bfloat16)}, [layer("linear", weight="W", axes=("in", "out"))])
    plan = fanin.initialize_(net, recipe="he", seed=0)
    assert plan["W"].parameter.dtype == "bfloat16"
    assert net["W"].astype(np.float32).any()
