"""A closer look at arrays, on the host and inside `jax.jit`, held against their definitions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fanin
from fanin.frameworks import closer
from fanin.frameworks.closer import Look, alikeness, detail_of
from fanin.signals.axes import Kind, axes_of

AXES = axes_of((8, 6, 5), (Kind.SAMPLE, Kind.POSITION, Kind.FEATURE))


def array() -> Any:
    """Units of different means: two of five are always 0, another for half of the samples."""
    x = np.random.default_rng(0).standard_normal((8, 6, 5)).astype(np.float32) + np.arange(5, dtype=np.float32)
    x[..., [1, 3]] = 0
    x[:4, :, 0] = 0
    return x


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_arrays_show_what_their_definitions_say(xp: Any) -> None:
    x, look = array(), Look(AXES, 2)
    wide = x.astype(np.float64)
    second = float(np.mean(wide**2))
    run: Any = (
        (lambda x: closer.looked_at(xp, x, look)) if xp is np else jax.jit(lambda x: closer.looked_at(jnp, x, look))
    )
    looked = run(x)
    found = detail_of(looked, look.units)
    assert found.units == 5
    assert found.dead == pytest.approx(0.4)
    assert found.spread == pytest.approx(wide.var(2).mean(), rel=1e-5)
    assert found.largest == pytest.approx(np.abs(x).max())
    assert found.smallest == pytest.approx(np.abs(x[x != 0]).min())
    assert found.histogram is not None
    assert sum(found.histogram.counts) == x.size
    of_two_positions = [(wide[:, p] * wide[:, q]).mean() for p in range(6) for q in range(6) if p != q]
    others = [(s, t) for s in range(8) for t in range(8) if s != t]
    of_two_samples = [(wide[s, p] * wide[t, q]).mean() for s, t in others for p in range(6) for q in range(6)]
    expected = (np.mean(of_two_positions), np.mean(of_two_samples))
    assert alikeness(looked, AXES, second) == pytest.approx(expected, rel=1e-4)


def test_dead_units_of_a_jax_model_are_found_as_in_pytorch() -> None:
    """Biases far below 0: every unit of the middle layer is dead."""
    params = {"a": jnp.ones((16, 32)) / 16, "low": jnp.full(32, -50.0), "b": jnp.ones((32, 4)) / 32}
    x = np.random.default_rng(0).standard_normal((64, 16)).astype(np.float32)

    def net(params: Any, x: Any) -> Any:
        return jax.nn.relu(x @ params["a"] + params["low"]) @ params["b"]

    found = {one.code: one for one in fanin.diagnose((net, params), x).findings}
    assert found["U03"].evidence["dead_share"] == 1
