"""`fanin plan`, `init` and `check` of models of Flax and Equinox."""

from __future__ import annotations

from pathlib import Path

from safetensors.numpy import load_file

from .conftest import Called

NET = """
import equinox as eqx, flax.linen as nn, jax, jax.numpy as jnp
from flax import nnx

class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        for i in range(6):
            x = nn.relu(nn.Dense(32, name=f"inner_{i}", kernel_init=nn.initializers.normal(0.01))(x))
        return nn.Dense(4, name="head")(x)

def linen():
    return Linen(), jnp.ones((2, 32))

def linen_with_variables():
    x = jax.random.normal(jax.random.key(0), (64, 32))
    return (Linen(), Linen().init(jax.random.key(1), x)), x

def of_nnx():
    rngs = nnx.Rngs(0)
    init = nnx.initializers.normal(0.01)
    inner = [m for _ in range(6) for m in (nnx.Linear(32, 32, kernel_init=init, rngs=rngs), nnx.relu)]
    return nnx.Sequential(*inner, nnx.Linear(32, 4, rngs=rngs)), jax.random.normal(jax.random.key(0), (64, 32))

def equinox():
    return eqx.nn.MLP(32, 4, 32, 2, key=jax.random.key(0)), jnp.ones((2, 32))
"""


def test_a_plan_is_shown_and_its_start_written(folder: Path, called: Called) -> None:
    for factory, name in (("linen", "head.kernel"), ("of_nnx", "layers.12.kernel"), ("equinox", "layers.2.weight")):
        code, shown = called("plan", f"net.py:{factory}", "--recipe", "he")
        assert (code, name in shown or "12" in shown or "layers" in shown) == (0, True)
        code, shown = called("init", f"net.py:{factory}", "--recipe", "he", "--out", "w.safetensors")
        assert (code, "digest" in shown) == (0, True)
        assert load_file(folder / "w.safetensors")[name].shape == (4, 32)


def test_a_check_finds_what_is_wrong(called: Called) -> None:
    for factory in ("linen_with_variables", "of_nnx"):
        code, shown = called("check", f"net.py:{factory}")
        assert (code, "vanishing activations" in shown) == (1, True)
    code, shown = called("check", "net.py:of_nnx", "--fix")
    assert (code, "healthy" in shown) == (0, True)
