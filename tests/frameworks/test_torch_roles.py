"""Roles and residual branches of real modules: what runs says what a parameter is, not how it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fanin.frameworks.torch import trace
from fanin.graph import Branch, Graph, Role

D = 8
X = torch.zeros(2, 5, D)


class Does(nn.Module):
    """Square layers a, b, c, … of the width D, and what is done with them."""

    def __init__(self, f: Callable[..., Any], layers: str, **held: nn.Module | Tensor) -> None:
        super().__init__()
        for name in layers:
            setattr(self, name, nn.Linear(D, D, bias=False))
        for name, what in held.items():
            setattr(self, name, what if isinstance(what, nn.Module) else nn.Parameter(what))
        self.f = f

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name)

    def forward(self, x: Tensor) -> Any:
        return self.f(self, x)


def graph(f: Callable[..., Any], layers: str = "", x: Tensor = X, **held: nn.Module | Tensor) -> Graph:
    return trace(Does(f, layers, **held), x).graph


def roles(g: Graph) -> dict[str, set[Role]]:
    return {p.path.removesuffix(".weight"): set(p.further) for p in g.parameters}


def branches(g: Graph) -> dict[str, Branch | None]:
    return {p.path.removesuffix(".weight"): p.branch for p in g.parameters}


def by_hand(m: Does, x: Tensor) -> Any:
    scores = m.a(x) @ m.b(x).transpose(-1, -2) / D**0.5 + m.mask
    return m.d(F.dropout(scores.softmax(-1), 0.0) @ m.c(x))


def fused(m: Does, x: Tensor) -> Any:
    q, k, v = (layer(x).view(2, 5, 2, 4).transpose(1, 2) for layer in (m.a, m.b, m.c))
    return m.d(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 5, D))


def by_einsum(m: Does, x: Tensor) -> Any:
    scores = torch.einsum("bid,bjd->bij", m.a(x), m.b(x)).masked_fill(m.mask.isinf(), -1e9)
    return m.d(torch.einsum("bij,bjd->bid", scores.softmax(-1), m.c(x)))


@pytest.mark.parametrize("attend", [by_hand, fused, by_einsum])
def test_query_key_value_and_output_are_found_by_what_the_softmax_weighs(attend: Callable[..., Any]) -> None:
    found = roles(graph(attend, "abcd", mask=torch.zeros(5, 5)))
    assert Role.QUERY in found["a"]  # mutant: sides of the product swapped
    assert Role.KEY in found["b"]
    assert Role.VALUE in found["c"]
    assert Role.ATTENTION_OUT in found["d"]
    assert not found["d"] & {Role.QUERY, Role.KEY, Role.VALUE}


def rotated(m: Does, x: Tensor) -> Any:
    def turn(z: Tensor) -> Tensor:
        a, b = z.chunk(2, dim=-1)
        return z * 0.8 + torch.cat([-b, a], -1) * 0.6

    return m.d(F.scaled_dot_product_attention(turn(m.a(x)), turn(F.layer_norm(m.b(x), (D,))), m.c(x)))


def test_rotary_embeddings_and_norms_between_do_not_hide_them() -> None:
    found = roles(graph(rotated, "abcd"))
    assert [next(r for r in found[n] if r in (Role.QUERY, Role.KEY, Role.VALUE)) for n in "abc"] == [
        Role.QUERY,
        Role.KEY,
        Role.VALUE,
    ]


def test_a_packed_projection_has_all_three_roles() -> None:
    def attend(m: Does, x: Tensor) -> Any:
        q, k, v = m.qkv(x).chunk(3, dim=-1)
        return F.scaled_dot_product_attention(q, k, v)

    assert roles(graph(attend, qkv=nn.Linear(D, 3 * D, bias=False)))["qkv"] >= {Role.QUERY, Role.KEY, Role.VALUE}


def silu(z: Tensor) -> Tensor:
    return z * torch.sigmoid(z)


@pytest.mark.parametrize(
    ("f", "of"),
    [
        (lambda m, x: m.c(m.a(x) * F.silu(m.b(x))), "two layers"),
        (lambda m, x: m.c(m.a(x) * silu(m.b(x))), "silu by hand"),
        (lambda m, x: m.c(torch.sigmoid(m.b(x)) * m.a(x)), "GLU, the gate first"),
    ],
)
def test_the_halves_of_a_gated_unit(f: Callable[..., Any], of: str) -> None:
    found = roles(graph(f, "abc"))
    assert (Role.UP in found["a"], Role.GATE in found["a"]) == (True, False), of
    assert Role.GATE in found["b"]


def test_a_packed_gated_unit_is_both() -> None:
    def gated(m: Does, x: Tensor) -> Any:
        a, b = m.two(x).chunk(2, dim=-1)
        return a * F.gelu(b)

    assert {Role.UP, Role.GATE} <= roles(graph(gated, two=nn.Linear(D, 2 * D)))["two"]
    assert {Role.UP, Role.GATE} <= roles(graph(lambda m, x: F.glu(m.two(x)), two=nn.Linear(D, 2 * D)))["two"]


def test_an_activation_written_out_is_no_gate() -> None:
    def gelu(m: Does, x: Tensor) -> Any:
        z = m.a(x)
        return m.b(0.5 * z * (1 + torch.tanh(0.8 * (z + 0.04 * z**3))))

    assert not roles(graph(gelu, "ab"))["a"] & {Role.GATE, Role.UP}


def pre(m: Does, x: Tensor) -> Any:
    x = x + m.b(F.relu(m.a(F.layer_norm(x, (D,)))))
    return x + m.d(F.relu(m.c(F.layer_norm(x, (D,)))))


def post(m: Does, x: Tensor) -> Any:
    x = F.layer_norm(x + m.b(F.relu(m.a(x))), (D,))
    return F.layer_norm(m.d(F.relu(m.c(x))) * 0.5 + x, (D,))


def parallel(m: Does, x: Tensor) -> Any:
    n = F.layer_norm(x, (D,))
    return x + m.b(F.relu(m.a(n))) + m.d(F.relu(m.c(n)))


@pytest.mark.parametrize("block", [pre, post, parallel])
def test_branches_know_their_stream_their_number_and_their_last_weight(block: Callable[..., Any]) -> None:
    g = graph(block, "abcd")
    normed = block is post
    assert branches(g) == {
        "a": Branch(0, 0, 2, 1, 2, normed),
        "b": Branch(0, 0, 2, 2, 2, normed),
        "c": Branch(0, 1, 2, 1, 2, normed),
        "d": Branch(0, 1, 2, 2, 2, normed),
    }
    found = roles(g)
    assert {n for n in "abcd" if Role.RESIDUAL_OUT in found[n]} == {"b", "d"}  # mutant: every weight of the branch


def test_a_projected_shortcut_is_no_branch() -> None:
    g = graph(lambda m, x: m.s(x) + m.b(F.relu(m.a(x))), "sab")
    assert branches(g)["s"] is None
    assert Role.RESIDUAL_OUT in roles(g)["b"]


def test_sums_that_are_no_residual_branches() -> None:
    for f in (
        lambda m, x: m.a(x) + m.b(x),  # two layers side by side
        lambda m, x: m.a(x) * torch.sigmoid(m.b(x)) + x * (1 - torch.sigmoid(m.b(x))),  # highway: the skip is gated
        lambda m, x: F.softmax(m.a(x), -1) + x,  # ends in no layer
    ):
        assert set(branches(graph(f, "ab")).values()) == {None}


def test_an_inner_branch_owns_its_weights() -> None:
    def nested(m: Does, x: Tensor) -> Any:
        y = m.a(x)
        y = y + m.c(F.relu(m.b(y)))
        return x + m.d(y)

    places = branches(graph(nested, "abcd"))
    assert places["b"] == Branch(0, 0, 1, 1, 2)
    assert places["a"] is not None
    assert places["a"].stream == places["d"].stream != places["b"].stream  # type: ignore[union-attr]


def test_scales_tables_and_tokens() -> None:
    def vit(m: Does, x: Tensor) -> Any:
        x = torch.cat([m.token.expand(2, -1, -1), x], 1) + m.positions
        x = x + m.scale * m.a(x)
        return m.head(x[:, 0])

    found = roles(
        graph(
            vit,
            "a",
            token=torch.zeros(1, 1, D),
            positions=torch.zeros(1, 6, D),
            scale=torch.zeros(D),
            head=nn.Linear(D, 3, bias=False),
        )
    )
    assert Role.TOKEN in found["token"]
    assert Role.POSITION in found["positions"]
    assert Role.LAYER_SCALE in found["scale"]
    assert Role.READOUT in found["head"]
    assert Role.FIRST not in found["head"]


def test_a_table_looked_up_at_fixed_places_is_one_of_positions() -> None:
    class Embedded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.where = nn.Embedding(9, D), nn.Embedding(5, D)

        def forward(self, ids: Tensor) -> Any:
            return self.words(ids) + self.where(torch.arange(ids.shape[1]))

    found = roles(trace(Embedded(), torch.zeros(2, 5, dtype=torch.long)).graph)
    assert Role.POSITION in found["where"]  # mutant: every embedding
    assert Role.POSITION not in found["words"]


def test_depthwise_first_and_router() -> None:
    conv = graph(lambda m, x: m.c(x), x=torch.zeros(1, 4, 9), c=nn.Conv1d(4, 8, 3, groups=4, bias=False))
    assert roles(conv)["c"] == {Role.DEPTHWISE, Role.FIRST, Role.READOUT}

    def routed(m: Does, x: Tensor) -> Any:
        weight, _ = F.softmax(m.r(x), -1).topk(2)
        return x + weight.sum(-1, keepdim=True) * m.b(F.relu(m.a(x)))

    found = roles(graph(routed, "rab"))
    assert Role.ROUTER in found["r"]
    assert {n for n in "rab" if Role.RESIDUAL_OUT in found[n]} == {"b"}


def test_a_state_space_decay_and_its_step() -> None:
    def ssm(m: Does, x: Tensor) -> Any:
        dt = F.softplus(m.dt_proj(x))
        return torch.exp(dt.unsqueeze(-1) * -torch.exp(m.decay)).sum(-1)

    found = roles(graph(ssm, decay=torch.zeros(D, 4), dt_proj=nn.Linear(D, D)))
    assert Role.DECAY in found["decay"]
    assert Role.STEP_BIAS in found["dt_proj.bias"]
