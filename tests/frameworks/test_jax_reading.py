"""Reading jaxprs: axes through reshapes, activations by what they compute, weights by what they are contracted with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

from fanin.frameworks.jax import trace
from fanin.frameworks.jax.reading.views import View, steps, whole
from fanin.graph import Fans, Graph, Role

WEIGHT, X = jnp.zeros((8, 8)), jnp.ones((4, 8))


def graph_of(net: Callable[..., Any], params: Any, *x: Any) -> Graph:
    graph: Graph = trace((net, params), *x).graph
    return graph


def made(view: View, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The view of an array, by the steps that the graph would take."""
    todo = steps(view, array.shape)
    array = array if todo.split is None else array.reshape(todo.split)
    array = array if todo.order is None else array.transpose(todo.order)
    array = array if todo.joined is None else array.reshape(todo.joined)
    return array if todo.expanded is None else np.broadcast_to(array, todo.expanded)


@given(st.data())
def test_a_view_is_what_its_steps_make(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=4)))
    array = np.arange(np.prod(shape)).reshape(shape)
    view: View | None = whole("x", shape)
    seen = array
    for _ in range(data.draw(st.integers(0, 4))):
        assert view is not None
        if data.draw(st.booleans()):
            order = data.draw(st.permutations(range(seen.ndim)))
            view, seen = view.transposed(order), seen.transpose(order)
        else:
            size = data.draw(st.sampled_from([n for n in range(1, seen.size + 1) if seen.size % n == 0]))
            other = (size, 1, seen.size // size) if data.draw(st.booleans()) else (size, seen.size // size)
            reshaped = view.reshaped(other)
            if reshaped is None:  # axes that are cut across: then it is a step of its own
                return
            view, seen = reshaped, seen.reshape(other)
    assert view is not None
    assert (made(view, array) == seen).all()


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (jax.nn.relu, "relu"),
        (lambda x: jnp.where(x > 0, x, 0), "relu"),
        (jax.nn.gelu, "gelu_tanh"),
        (lambda x: jax.nn.gelu(x, approximate=False), "gelu"),
        (lambda x: 0.5 * x * (1 + jax.scipy.special.erf(x / np.sqrt(2))), "gelu"),
        (jax.nn.silu, "silu"),
        (lambda x: x / (1 + jnp.exp(-x)), "silu"),
        (jnp.tanh, "tanh"),
        (jax.nn.sigmoid, "sigmoid"),
        (jax.nn.softplus, "softplus"),
        (jax.nn.selu, "selu"),
        (jax.nn.mish, "mish"),
        (lambda x: jax.nn.leaky_relu(x, 0.2), "leaky_relu(negative_slope=0.2)"),
        (lambda x: jax.nn.elu(x, 0.5), "elu(alpha=0.5)"),
        (lambda x: jnp.clip(x, -2, 2), "hardtanh(min_val=-2, max_val=2)"),
        (lambda x: jnp.square(jax.nn.relu(x)), "relu_squared"),
    ],
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_an_activation_is_known_by_what_it_computes(function: Callable[..., Any], name: str, dtype: Any) -> None:
    graph = graph_of(lambda w, x: function(x @ w), WEIGHT.astype(dtype), jnp.ones((4, 8), dtype))
    assert [str(n.activation) for n in graph.nodes if n.activation] == [name]
    assert graph.nodes[0].op == "linear"
    assert len(graph.nodes) == 2


def test_no_activation_is_seen_where_fanin_knows_none() -> None:
    graph = graph_of(lambda w, x: 3 * jnp.tanh(x @ w) ** 3, WEIGHT, jnp.ones((4, 8)))
    assert [n.op for n in graph.nodes] == ["linear", "tanh", "pow", "mul"]


@pytest.mark.parametrize(
    ("equation", "shape", "logical"),
    [
        ("bd,df->bf", (8, 6), (6, 8)),
        ("bd,fd->bf", (6, 8), (6, 8)),
        ("bd,dhk->bhk", (8, 3, 2), (6, 8)),
        ("bd,hkd->hbk", (3, 2, 8), (6, 8)),
    ],
)
def test_a_weight_is_laid_out_by_what_it_is_contracted_with(
    equation: str, shape: tuple[int, ...], logical: tuple[int, ...]
) -> None:
    graph = graph_of(lambda w, x: jnp.einsum(equation, x, w), jnp.zeros(shape), jnp.ones((4, 8)))
    (parameter,) = graph.parameters
    assert (parameter.shape, parameter.fans, parameter.role) == (logical, Fans(8, 6), Role.WEIGHT)


def test_a_weight_is_followed_through_a_transpose() -> None:
    graph = graph_of(lambda w, x: x @ w.reshape(3, 2, 8).transpose(2, 0, 1).reshape(8, 6), jnp.zeros((6, 8)), X)
    (parameter,) = graph.parameters
    assert (parameter.shape, parameter.stored, parameter.role) == ((6, 8), (), Role.WEIGHT)
    graph = graph_of(lambda w, x: x @ w.T, jnp.zeros((6, 8)), X)
    assert (graph.parameters[0].shape, graph.parameters[0].fans) == ((6, 8), Fans(8, 6))


def test_heads_get_a_bias_along_their_outputs() -> None:
    graph = graph_of(
        lambda p, x: jnp.einsum("btd,dhk->bthk", x, p["w"]) + p["b"],
        {"w": jnp.zeros((8, 3, 2)), "b": jnp.zeros((3, 2))},
        jnp.ones((4, 5, 8)),
    )
    assert {p.path: (p.shape, p.role) for p in graph.parameters}["b"] == ((6,), Role.BIAS)
    assert graph.nodes[0].inputs == ("x", "w", "b")


def test_channels_last_are_turned_once() -> None:
    rngs = nnx.Rngs(0)
    first, second = nnx.Conv(3, 8, (3, 3), rngs=rngs), nnx.Conv(8, 8, (3, 3), feature_group_count=8, rngs=rngs)
    graph = trace(nnx.Sequential(first, nnx.relu, second), jnp.ones((2, 6, 6, 3))).graph
    assert [n.op for n in graph.nodes] == ["permute", "conv2d", "relu", "conv2d", "permute"]
    depthwise = graph.by_path["layers.2.kernel"]
    assert (depthwise.shape, depthwise.fans, Role.DEPTHWISE in depthwise.roles) == ((8, 1, 3, 3), Fans(9, 9), True)


def test_transposed_convolutions_have_pytorchs_fans() -> None:
    key, rngs = jax.random.key(0), nnx.Rngs(0)
    of_equinox = eqx.nn.ConvTranspose2d(3, 8, 4, stride=2, padding=1, key=key)
    of_nnx = nnx.ConvTranspose(3, 8, (4, 4), strides=(2, 2), transpose_kernel=True, rngs=rngs)
    for net, shape in ((of_equinox, (2, 3, 6, 6)), (of_nnx, (2, 6, 6, 3))):
        graph = trace(net, jnp.ones(shape)).graph
        kernel = next(p for p in graph.parameters if p.role is Role.WEIGHT)
        assert (kernel.shape, kernel.fans) == ((3, 8, 4, 4), Fans(12, 128))


def test_gates_attention_and_a_tied_readout_are_seen() -> None:
    def net(p: Any, ids: Any) -> Any:
        x = p["table"][ids]
        q, k, v = (x @ p[name] for name in "qkv")
        x = x + jax.nn.softmax(q @ k.mT / 8**0.5) @ v @ p["o"]
        x = x + (jax.nn.silu(x @ p["gate"]) * (x @ p["up"])) @ p["down"]
        return x @ p["table"].T

    params = dict.fromkeys((*"qkvo", "gate", "up", "down"), WEIGHT) | {"table": jnp.zeros((9, 8))}
    graph = graph_of(net, params, jnp.zeros((2, 5), int))
    first = {p.path: str(p.roles[0]) for p in graph.parameters}
    assert first == {
        **{"q": "attention query", "k": "attention key", "v": "attention value", "o": "attention output"},
        **{"gate": "gate", "up": "gated value", "down": "residual output", "table": "readout"},
    }
    assert graph.by_path["table"].role is Role.EMBEDDING


def test_a_line_of_the_users_own_is_named() -> None:
    graph = trace(nnx.Linear(8, 4, rngs=nnx.Rngs(0)), jnp.ones((2, 8))).graph
    assert "flax" not in graph.nodes[0].source
    graph = graph_of(lambda w, x: x @ w, WEIGHT, jnp.ones((4, 8)))
    assert "test_jax_reading.py:" in graph.nodes[0].source
