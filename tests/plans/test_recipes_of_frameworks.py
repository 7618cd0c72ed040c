"""The defaults of other frameworks, against what their own layers say where they are installed."""

from __future__ import annotations

from typing import Any

import pytest

from fanin.graph import Fans, Graph, Node, Parameter, Role
from fanin.plans import make_plan


def one(p: Parameter, op: str, recipe: str) -> Any:
    entry = make_plan(Graph("Net", (Node("z", op, ("x", p.path), (), "float32"),), (p,)), recipe)[p.path]
    return entry.initializer.law(entry.target)


def test_keras_says_the_same_of_its_own_layers() -> None:
    layers = pytest.importorskip("keras").layers
    dense, lstm = layers.Dense(16).get_config(), layers.LSTM(16).get_config()
    table, slope = layers.Embedding(9, 4).get_config(), layers.PReLU().get_config()
    assert dense["kernel_initializer"]["class_name"] == "GlorotUniform"
    assert dense["bias_initializer"]["class_name"] == "Zeros"
    assert lstm["recurrent_initializer"]["class_name"] in {"Orthogonal", "OrthogonalInitializer"}
    assert lstm["unit_forget_bias"] is True
    assert slope["alpha_initializer"]["class_name"] == "Zeros"
    bounds = table["embeddings_initializer"]["config"]
    law = one(Parameter("e", (9, 4), "float32", Role.EMBEDDING, node="z"), "embedding", "keras_default")
    assert (law.low, law.high) == (bounds["minval"], bounds["maxval"])


def test_jax_draws_with_the_same_std() -> None:
    """Flax's kernels and embeddings, by the functions of jax.nn.initializers that they name."""
    jax = pytest.importorskip("jax")
    initializers, key = jax.nn.initializers, jax.random.key(0)
    kernel = one(Parameter("w", (300, 200), "float32", Role.WEIGHT, Fans(200, 300), node="z"), "linear", "flax_default")
    assert initializers.lecun_normal()(key, (200, 300)).std() == pytest.approx(kernel.std, rel=0.02)  # 6σ: 0.018
    assert kernel.high == pytest.approx(2 * kernel.std / 0.87962566103423978, rel=1e-6)
    embed = initializers.variance_scaling(1.0, "fan_in", "normal", out_axis=0)
    table = one(Parameter("e", (500, 100), "float32", Role.EMBEDDING, node="z"), "embedding", "flax_default")
    assert embed(key, (500, 100)).std() == pytest.approx(table.std, rel=0.02)  # mutant: 1/√vocabulary
