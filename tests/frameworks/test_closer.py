"""A closer look at arrays, on the host and inside `jax.jit`, beside that at PyTorch's tensors."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import fanin
from fanin.frameworks.closer import Look, alikeness, detail_of, looked_at
from fanin.frameworks.torch.closer import Closer
from fanin.graph import Graph, Node
from fanin.signals import Moments
from fanin.signals.axes import Kind, axes_of

AXES = axes_of((8, 6, 5), (Kind.SAMPLE, Kind.POSITION, Kind.FEATURE))


def array() -> Any:
    """Units of different means: two of five are always 0, another for half of the samples."""
    x = np.random.default_rng(0).standard_normal((8, 6, 5)).astype(np.float32) + np.arange(5, dtype=np.float32)
    x[..., [1, 3]] = 0
    x[:4, :, 0] = 0
    return x


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_arrays_show_what_tensors_do(xp: Any) -> None:
    x, look = array(), Look(AXES, 2)
    graph = Graph("one", (Node("x", "relu", (), x.shape, "float32"),), (), ())
    of_torch = Closer(graph, {"x": AXES}, {"x": 2})
    second = float(np.mean(x.astype(np.float64) ** 2))
    expected = of_torch.value("x", torch.from_numpy(x), Moments(float(x.mean()), second, zeros=0.4))
    run: Any = (lambda x: looked_at(xp, x, look)) if xp is np else jax.jit(lambda x: looked_at(jnp, x, look))
    looked = run(x)
    found, wanted = detail_of(looked, look.units), of_torch.details["x"]
    assert found.dead == pytest.approx(0.4)
    assert wanted.dead == pytest.approx(0.4)
    assert found.units == wanted.units == 5
    assert found.spread == pytest.approx(wanted.spread, rel=1e-5)
    assert (found.largest, found.smallest) == pytest.approx((wanted.largest, wanted.smallest))
    assert found.histogram == wanted.histogram
    assert found.magnitudes == wanted.magnitudes
    alike = (expected.across_positions, expected.across_samples)
    assert alikeness(looked, AXES, second) == pytest.approx(alike, rel=1e-4)


def test_dead_units_of_a_jax_model_are_found_as_in_pytorch() -> None:
    """Biases far below 0: every unit of the middle layer is dead."""
    params = {"a": jnp.ones((16, 32)) / 16, "low": jnp.full(32, -50.0), "b": jnp.ones((32, 4)) / 32}
    x = np.random.default_rng(0).standard_normal((64, 16)).astype(np.float32)

    def net(params: Any, x: Any) -> Any:
        return jax.nn.relu(x @ params["a"] + params["low"]) @ params["b"]

    found = {one.code: one for one in fanin.diagnose((net, params), x).findings}
    assert found["U03"].evidence["dead_share"] == 1
