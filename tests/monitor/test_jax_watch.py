"""Functional loops of JAX watched: statistics inside the jitted step, and a batch that is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import fanin
from fanin.errors import BadInput
from fanin.frameworks.arriving import Arriving
from fanin.monitor import read_lines
from fanin.monitor.jax import statistics, watch

optax: Any = pytest.importorskip("optax")
X = np.random.default_rng(0).standard_normal((64, 32), np.float32)
Y = np.random.default_rng(1).integers(0, 4, 64)


def quiet(text: str) -> None:
    """What `say` is here."""


def net(params: Any, x: Any) -> Any:
    for i in range(len(params) - 1):
        x = jax.nn.relu(x @ params[f"inner_{i}"]["kernel"])
    return x @ params["out"]["kernel"]


def start(depth: int = 1, gain: float = 1.4) -> Any:
    keys = jax.random.split(jax.random.key(0), depth + 1)
    shapes = {f"inner_{i}": (32, 32) for i in range(depth)} | {"out": (32, 4)}
    named = zip(shapes.items(), keys, strict=True)
    return {name: {"kernel": gain / 32**0.5 * jax.random.normal(key, shape)} for (name, shape), key in named}


def cross_entropy(logits: Any, labels: Any) -> Any:
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


class Loop:
    """A training that compiles its step once."""

    def __init__(self, params: Any, rate: float = 0.1, *, tells: bool = True) -> None:
        self.params, self.compiled = params, 0

        def step(params: Any, looks: Any) -> Any:
            self.compiled += 1
            loss, grads = jax.value_and_grad(lambda p: cross_entropy(net(p, X), Y).mean())(params)
            updates = jax.tree.map(lambda g: -rate * g, grads)
            seen = statistics(params, grads, updates, when=looks) if tells else None
            return optax.apply_updates(params, updates), loss, seen

        self._step = jax.jit(step)

    def run(self, w: Any, steps: int) -> Any:
        for _ in range(steps):
            self.params, loss, seen = self._step(self.params, w.looks)
            w.step(loss, seen=seen, model=(net, self.params))
        return self.params


def test_statistics_are_the_norms_of_the_step_and_the_run_is_the_same(tmp_path: Path) -> None:
    params = start()
    loop = Loop(params)
    with watch(every=5, to=tmp_path, say=quiet) as w:
        loop.run(w, 20)
        assert loop.compiled == 1
    with watch(every=5, say=quiet) as other:
        plain = Loop(params, tells=False).run(other, 20)
    assert all(bool((a == b).all()) for a, b in zip(jax.tree.leaves(loop.params), jax.tree.leaves(plain), strict=True))
    assert [record.step for record in w.result.records] == [1, 5, 10, 15, 20]
    assert [line["kind"] for line in read_lines(tmp_path)] == ["run", *["step"] * 5]
    assert len(w.result.losses) == 20
    assert w.result.healthy, str(w)
    gradients = jax.grad(lambda p: cross_entropy(net(p, X), Y).mean())(params)
    for p in w.result.records[0].signals.parameters:
        name = p.path.partition(".")[0]
        assert p.shape == params[name]["kernel"].shape[::-1]
        assert p.weight == pytest.approx(float(jnp.linalg.norm(params[name]["kernel"])), rel=1e-5)
        assert p.gradient == pytest.approx(float(jnp.linalg.norm(gradients[name]["kernel"])), rel=1e-4)
        assert p.update == pytest.approx(0.1 * (p.gradient or 0), rel=1e-4)


def test_between_watched_steps_nothing_is_computed_and_nothing_waits() -> None:
    looks: list[bool] = []
    small = jax.tree.map(lambda x: 1e-3 * x, start())
    with watch(every=4, say=quiet) as w:
        for _ in range(8):
            looks.append(w.looks)
            seen = jax.jit(statistics)(start(), small, small, when=w.looks)
            assert bool(seen.computed) is w.looks
            assert bool((seen.weights > 0).all()) is w.looks
            w.step(1.0, seen=seen)
    assert [i + 1 for i, one in enumerate(looks) if one] == [1, 4, 8]

    class Late:
        """An array that is still computed."""

        shape: tuple[int, ...] = ()

        def reshape(self, shape: Any) -> Late:
            return self

        def is_ready(self) -> bool:
            return False

        def __float__(self) -> float:
            raise AssertionError("waited for")

    arriving = Arriving()
    arriving.add(1, Late())
    assert list(arriving.ready()) == []


def test_a_kept_batch_shows_what_flows_through_layers_as_a_measurement_does() -> None:
    loop = Loop(start(2))
    with watch((net, loop.params), batch=(X, Y), loss=cross_entropy, every=5, say=quiet) as w:
        loop.run(w, 5)
    expected = fanin.measure((net, loop.params), X, loss=lambda out: cross_entropy(out, Y).mean())
    layers = w.result.records[-1].signals.layers
    assert expected.graph is not None
    nodes = [node for node in expected.graph.nodes if node.op in {"linear", "matmul"}]
    assert len(layers) == len(nodes) == 3
    for layer, node in zip(layers, nodes, strict=True):
        assert layer.value.second_moment == pytest.approx(expected.values[node.name].second_moment, rel=1e-4)
        size = np.prod(node.shape)
        assert layer.gradient == pytest.approx(expected.gradients[node.name].second_moment * size, rel=1e-4)
    assert [layer.activated.name if layer.activated else "" for layer in layers] == ["relu", "relu", ""]


def test_the_same_warnings_come_out() -> None:
    said: list[str] = []
    loop = Loop(start(12, 0.3))
    with watch((net, loop.params), batch=(X, Y), loss=cross_entropy, every=10, say=said.append) as w:
        loop.run(w, 10)
    assert "B01 vanishing gradients" in said[0]
    loop = Loop(start(), rate=1e25)
    with watch(every=2, say=said.append) as w:
        loop.run(w, 4)
    assert any("N01 non-finite values" in text for text in said)
    loop = Loop(start(), rate=30.0)
    with watch(every=5, say=said.append) as w:
        loop.run(w, 1)
    assert "B03 update out of proportion" in said[-1]


def test_modules_of_nnx_are_told_by_what_they_are_afterwards() -> None:
    model = nnx.Sequential(nnx.Linear(32, 16, rngs=nnx.Rngs(0)), nnx.relu, nnx.Linear(16, 4, rngs=nnx.Rngs(1)))
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)

    @nnx.jit
    def step(model: Any, optimizer: Any, looks: Any) -> Any:
        loss, grads = nnx.value_and_grad(lambda m: cross_entropy(m(X), Y).mean())(model)
        before = jax.tree.map(lambda x: x, nnx.state(model, nnx.Param))
        optimizer.update(model, grads)
        return loss, statistics(before, grads, after=nnx.state(model, nnx.Param), when=looks)

    with watch(model, batch=(X, Y), loss=cross_entropy, every=5, say=quiet) as w:
        for _ in range(5):
            loss, seen = step(model, optimizer, w.looks)
            w.step(loss, seen=seen, model=model)
    first = w.result.records[0].signals
    assert [layer.path for layer in first.layers] == ["layers.0", "layers.2"]
    for p in first.parameters:
        assert p.update == pytest.approx(0.1 * (p.gradient or 0), rel=1e-3)


def test_a_run_goes_on() -> None:
    loop = Loop(start())
    with watch(every=5, say=quiet) as w:
        loop.run(w, 12)
    again = watch(every=5, say=quiet)
    again.load_state_dict(w.state_dict())
    with again:
        loop.run(again, 3)
    assert (again.result.steps, [record.step for record in again.result.records]) == (15, [15])


def test_what_goes_wrong_inside_is_said_once_and_the_loop_goes_on() -> None:
    said: list[str] = []
    loop = Loop(start())
    with watch((net, loop.params), batch=(X, Y), loss=cross_entropy, every=2, say=said.append) as w:
        for _ in range(4):
            loop.params, loss, seen = loop._step(loop.params, w.looks)
            w.step(loss, seen=seen, model=(net, {"another": jnp.zeros(3)}))
    assert w.result.steps == 4
    assert len(said) == 1
    assert "step 1 could not be watched" in said[0]


def test_misuse_is_said() -> None:
    params = start()
    with pytest.raises(BadInput, match="exactly one of updates="):
        statistics(params, params)
    with pytest.raises(BadInput, match=r"1 parameter\(s\), or one of another shape: out.kernel"):
        statistics(params, params, {"inner_0": params["inner_0"]})
    with pytest.raises(BadInput, match="give both"):
        watch((net, params))
    with watch(every=2, say=quiet) as w, pytest.raises(BadInput, match="seen takes what statistics"):
        w.step(1.0, seen=params)
    with pytest.raises(BadInput, match=r"fanin.monitor.jax.watch"):
        fanin.watch(nnx.Linear(2, 2, rngs=nnx.Rngs(0)))
