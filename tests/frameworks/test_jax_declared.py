"""Pytrees whose axes are declared start as the same net in PyTorch does, bit for bit."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import fanin
from fanin.compat.trees import Tree, layer
from fanin.errors import BadInput, CannotWrite


def params(dtype: Any = jnp.float32) -> Any:
    return {"blocks": [{"kernel": jnp.zeros((64, 32), dtype)}, {"kernel": jnp.zeros((32, 10), dtype)}]}


LAYERS = [
    layer("linear", weight="blocks.0.kernel", axes=("in", "out"), activation="relu"),
    layer("linear", weight="blocks.1.kernel", axes=("in", "out")),
]


def test_a_declared_tree_has_the_bits_of_pytorch() -> None:
    inner, out = torch.nn.Linear(64, 32, bias=False), torch.nn.Linear(32, 10, bias=False)
    model = torch.nn.Sequential(inner, torch.nn.ReLU(), out)
    names = {"blocks.0.kernel": "0.weight", "blocks.1.kernel": "2.weight"}
    theirs = fanin.initialize_(model, torch.zeros(1, 64), recipe="he", seed=0)
    tree = Tree(params(), LAYERS)
    plan = fanin.plan(tree, recipe="he", rename=names)
    new = fanin.initialize(tree, recipe=plan, seed=0)
    assert plan.digest(0) == theirs.digest(0)
    for linear, block in zip((inner, out), new["blocks"], strict=True):
        assert isinstance(block["kernel"], jax.Array)
        assert (linear.weight.detach().numpy() == np.asarray(block["kernel"]).T).all()


def test_shapes_are_enough_and_bfloat16_stays_it() -> None:
    shapes = jax.eval_shape(lambda: params(jnp.bfloat16))
    new = fanin.initialize(Tree(shapes, LAYERS), recipe="he", seed=0)
    kernel = new["blocks"][0]["kernel"]
    assert kernel.dtype == jnp.bfloat16
    assert float(jnp.std(kernel.astype(jnp.float32))) == pytest.approx((2 / 64) ** 0.5, rel=0.1)


def test_what_is_no_array_or_not_there_is_named() -> None:
    with pytest.raises(BadInput, match=r"1 of its leaves are none: rate \(float\)"):
        Tree({**params(), "rate": 0.1}, LAYERS)
    with pytest.raises((BadInput, CannotWrite), match=r"blocks\.2\.kernel"):
        fanin.plan(Tree(params(), [*LAYERS, layer("linear", weight="blocks.2.kernel")]), recipe="he")
    with pytest.raises(CannotWrite, match=r"fanin\.initialize gives new arrays"):
        fanin.initialize_(Tree(params(), LAYERS), recipe="he", seed=0)
