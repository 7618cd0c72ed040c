"""Models of Flax and Equinox: described, started with PyTorch's bits, verified; what cannot be done is explained."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

import fanin
from fanin.errors import BadInput, CannotWrite, NoParameters, ShapeMismatch, UncoveredParameters
from fanin.frameworks.jax import trace
from fanin.graph import Role

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
nets = import_module("one_transformer")
sys.path.remove(str(HERE))

LENGTH = nets.LENGTH
IDS = np.random.default_rng(0).integers(0, nets.WORDS, (3, LENGTH)).astype(np.int32)
ROUNDING = 1e-5  # of a few hundred operations on numbers near 1, in float32


def transformer(library: str) -> Any:
    made = {
        "nnx": lambda: nets.NnxTransformer(nnx.Rngs(0)),
        "linen": nets.LinenTransformer,
        "equinox": lambda: nets.EqxTransformer(jax.random.key(0)),
    }
    return made[library]()


def called(library: str, model: Any, new: Any, x: Any) -> Any:
    if library == "linen":
        return model.apply(new, x)
    return jax.vmap(new)(x) if library == "equinox" else new(x)


@pytest.mark.parametrize("library", ["nnx", "linen", "equinox"])
def test_a_transformer_starts_as_pytorchs_does(library: str) -> None:
    of_torch = nets.TorchTransformer()
    expected = fanin.initialize_(of_torch, torch.from_numpy(IDS), seed=3)
    model = transformer(library)
    paths = [e.parameter.path for e in fanin.plan(model, IDS, recipe="zeros")]
    plan = fanin.plan(model, IDS, rename={path: nets.torch_name(path) for path in paths})
    assert plan.digest(3) == expected.digest(3)
    roles = {e.parameter.drawn_as: e.parameter.roles for e in plan}
    assert roles == {e.parameter.path: e.parameter.roles for e in expected}
    new = fanin.initialize(model, IDS, recipe=plan, seed=3)
    output = np.asarray(called(library, model, new, IDS))
    assert np.abs(output - of_torch(torch.from_numpy(IDS)).detach().numpy()).max() < ROUNDING
    pair = (model, new) if library == "linen" else new
    assert fanin.verify(pair, fanin.Plan.from_json(plan.to_json()), seed=3, blocks=None)
    assert not fanin.verify(pair, plan, seed=4)


def test_a_start_leaves_the_model_as_it_was_and_in_place_changes_it() -> None:
    model = transformer("nnx")
    before = np.asarray(model.head.kernel[...])
    new = fanin.initialize(model, IDS, recipe="he", seed=0)
    assert (np.asarray(model.head.kernel[...]) == before).all()
    plan = fanin.initialize_(model, IDS, recipe="he", seed=0)
    assert (np.asarray(model.head.kernel[...]) == np.asarray(new.head.kernel[...])).all()
    assert fanin.verify(model, plan, seed=0)
    with pytest.raises(BadInput, match="no global random state"):
        fanin.initialize_(model, IDS, recipe="he")
    with pytest.raises(CannotWrite, match="is a value that cannot be changed"):
        fanin.initialize_(transformer("equinox"), IDS, recipe="he", seed=0)


def test_what_has_shapes_only_is_planned_and_started() -> None:
    model = nnx.eval_shape(lambda: nets.NnxTransformer(nnx.Rngs(0)))
    x = jax.ShapeDtypeStruct(IDS.shape, jnp.int32)
    plan = fanin.plan(model, x)
    assert not any(isinstance(v, jax.Array) for v in jax.tree.leaves(nnx.state(model)))
    new = fanin.initialize(model, x, recipe=plan, seed=0)
    assert fanin.verify(new, plan, seed=0)
    with pytest.raises(BadInput, match="have no values here"):
        fanin.verify(model, plan, seed=0)


def test_a_start_is_the_same_under_jit_and_a_key_is_a_seed() -> None:
    model = transformer("equinox")
    plan = fanin.plan(model, IDS, recipe="he")

    @eqx.filter_jit
    def started(seed: Any) -> Any:
        return fanin.initialize(model, IDS, recipe=plan, seed=seed)

    plain = fanin.initialize(model, IDS, recipe=plan, seed=7)
    for a, b in zip(jax.tree.leaves(started(jax.random.key(7))), jax.tree.leaves(plain), strict=True):
        assert (np.asarray(a) == np.asarray(b)).all()


def test_a_bare_module_of_linen_gives_its_variables() -> None:
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x: Any, train: bool = True) -> Any:
            x = nn.BatchNorm(use_running_average=not train)(nn.Conv(8, (3, 3))(x))
            return nn.Dense(4)(nn.Dropout(0.1, deterministic=not train)(nn.relu(x)).mean((1, 2)))

    x = jnp.ones((2, 8, 8, 3))
    variables: Any = fanin.initialize(Net(), x, recipe="he", seed=0)
    assert float(variables["batch_stats"]["BatchNorm_0"]["var"].min()) == 1
    again = fanin.initialize((Net(), variables["params"]), x, recipe="he", seed=0)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), again, variables["params"]))
    trained, evaluated = (trace((Net(), variables), x, train).graph for train in (True, False))
    assert [n.op for n in trained.nodes if "norm" in n.op or n.op == "dropout"] == ["batch_norm", "dropout"]
    assert "_native_batch_norm_legit_no_training" in {n.op for n in evaluated.nodes}


def test_layers_in_a_loop_are_layers() -> None:
    class Block(nn.Module):
        @nn.compact
        def __call__(self, x: Any, _: Any) -> Any:
            return x + nn.Dense(16)(nn.relu(nn.Dense(64)(nn.LayerNorm()(x)))), None

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            over: dict[str, Any] = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}, "length": 3}
            return nn.Dense(4)(nn.scan(nn.remat(Block), **over)(name="blocks")(x, None)[0])

    plan = fanin.plan(Net(), jnp.ones((2, 16)), recipe="he")
    last = plan["blocks.Dense_0.kernel"].parameter
    assert (last.shape, last.fans, last.branch and last.branch.count) == ((3, 16, 64), fanin.graph.Fans(64, 16), 3)
    assert (Role.RESIDUAL_OUT in last.roles, Role.EXPERT in last.roles) == (True, False)
    variables = fanin.initialize(Net(), jnp.ones((2, 16)), recipe=plan, seed=0)
    assert fanin.verify((Net(), variables), plan, seed=0)
    signals = fanin.predict((Net(), variables), jnp.ones((2, 16)))
    assert not signals.sampled


def test_a_recurrent_layer_has_recurrent_weights_with_gates() -> None:
    net, x = nnx.RNN(nnx.OptimizedLSTMCell(8, 16, rngs=nnx.Rngs(0))), jnp.ones((2, 5, 8))
    plan = fanin.plan(net, x, recipe="orthogonal")
    state, into = plan["cell.dense_h.kernel"].parameter, plan["cell.dense_i.kernel"].parameter
    assert (state.role, into.role) == (Role.RECURRENT, Role.WEIGHT)
    assert (state.parts and state.parts.names, state.fans) == (("i", "f", "g", "o"), fanin.graph.Fans(16, 16))
    assert fanin.verify(fanin.initialize(net, x, recipe=plan, seed=0), plan, seed=0)


def test_a_function_of_a_pytree_says_what_its_axes_are() -> None:
    def net(params: Any, x: Any) -> Any:
        return jnp.einsum("bd,dhk->bhk", x, params["heads"]).reshape(len(x), -1) @ params["out"]

    params = {"heads": jnp.zeros((8, 4, 2)), "out": jnp.zeros((8, 3))}
    plan = fanin.plan((net, params), jnp.ones((5, 8)), recipe="he")
    assert plan["heads"].parameter.shape == (8, 8)
    new: Any = fanin.initialize((net, params), jnp.ones((5, 8)), recipe=plan, seed=0)
    assert new["heads"].shape == (8, 4, 2)
    with pytest.raises(BadInput, match=r"steps \(int\)"):
        fanin.plan((net, params | {"steps": 3}), jnp.ones((5, 8)))
    with pytest.raises(BadInput, match="does not say what is done with them"):
        fanin.plan(params, jnp.ones((5, 8)))


def test_a_batch_goes_through_vmap_or_as_it_is() -> None:
    class Batched(eqx.Module):
        inner: eqx.nn.MLP

        def __call__(self, x: Any) -> Any:
            return jax.vmap(self.inner)(x)

    inner = eqx.nn.MLP(8, 3, 16, 1, key=jax.random.key(0))
    one, all_ = (trace(net, jnp.ones((4, 8))).graph for net in (inner, Batched(inner)))
    assert [n.shape for n in one.nodes] == [n.shape for n in all_.nodes] == [(4, 16), (4, 16), (4, 3)]


def test_what_cannot_be_done_is_explained() -> None:
    model = transformer("nnx")
    with pytest.raises(BadInput, match="one batch is needed"):
        fanin.plan(model, recipe="he")
    with pytest.raises(BadInput, match="no parameters until it is called"):
        fanin.plan(nets.LinenTransformer(), recipe="he")
    with pytest.raises(ShapeMismatch, match=r"could not be called with float32\[2, 3\]"):
        fanin.plan(eqx.nn.Linear(4, 3, key=jax.random.key(0)), jnp.ones((2, 3)))
    with pytest.raises(NoParameters, match="there is nothing to initialize"):
        fanin.plan(eqx.nn.Dropout(0.5, inference=True), jnp.ones((2, 3)))
    with pytest.raises(CannotWrite, match="in the plan, not in the model"):
        fanin.initialize(model, recipe=fanin.plan(eqx.nn.Linear(4, 3, key=jax.random.key(0)), jnp.ones((2, 4))), seed=0)
    with pytest.raises(BadInput, match="seed"):
        fanin.initialize(model, IDS, recipe="he", seed=-1)


def test_a_step_that_is_not_understood_is_named() -> None:
    def net(params: Any, x: Any) -> Any:
        return jnp.linalg.cholesky(x @ params["w"] @ x.T + jnp.eye(4))

    params = {"w": jnp.eye(8), "unused": jnp.eye(3)}
    with pytest.raises(UncoveredParameters, match="unused"):
        fanin.plan((net, params), jnp.ones((4, 8)))
    plan = fanin.plan((net, params), jnp.ones((4, 8)), overrides={"unused": "zeros"})
    assert any("cholesky" in note for note in plan.notes)


def test_a_library_that_is_older_than_tried_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = import_module("fanin.frameworks.jax.opened")
    monkeypatch.setattr(opened, "version", lambda name: "0.9.1" if name == "flax" else "99.0")
    opened._warn_of_older.cache_clear()
    with pytest.warns(UserWarning, match=r"flax 0\.9\.1 is older than what fanin was tried with, 0\.12"):
        trace(transformer("equinox"), IDS)
    trace(transformer("equinox"), IDS)  # once is enough


def test_classes_of_a_library_are_as_they_were() -> None:
    before = [nnx.LayerNorm.__call__, eqx.nn.LayerNorm.__call__]
    with pytest.raises(ShapeMismatch):
        trace(transformer("nnx"), jnp.ones((3, LENGTH, 4), jnp.float32))
    trace(transformer("equinox"), IDS)
    assert [nnx.LayerNorm.__call__, eqx.nn.LayerNorm.__call__] == before


def test_shards_have_the_bits_of_the_whole() -> None:
    ended = subprocess.run(
        [sys.executable, str(HERE / "eight_jax_models.py")], capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
