"""The fans that a traced layer is given, against the variance of what the real layer puts out."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fanin.frameworks.torch import trace, write_
from fanin.frameworks.torch.model.names import named_parameters
from fanin.graph import Parameter, Parts
from fanin.initializers import Keep, Orthogonal, PerPart, VarianceScaling, Zeros, forget_gate_bias
from fanin.plans import Entry, Plan, make_plan

SAMPLES = 512


def signs(*shape: int) -> Tensor:
    """White noise of variance 1 whose squares do not vary."""
    return torch.randint(0, 2, shape).float() * 2 - 1


@dataclass
class Case:
    """A layer, an input, and how the linear map of one of its weights is seen in the output, away from borders."""

    model: nn.Module
    x: tuple[Any, ...]
    path: str
    output: Callable[[Any, Tensor], Tensor]  # of the model and the weight


class Bag(nn.Module):
    """A forward pass given as a function."""

    def __init__(self, f: Callable[..., Any], **held: nn.Module | Tensor) -> None:
        super().__init__()
        for name, what in held.items():
            setattr(self, name, what if isinstance(what, nn.Module) else nn.Parameter(what))
        self.f = f

    def forward(self, *x: Any) -> Any:
        return self.f(self, *x)


def attention(*, packed: bool) -> Case:
    """One key and no last projection: the output is the value, W_v x."""
    inputs = 32 if packed else 24
    layer = nn.MultiheadAttention(32, 4, batch_first=True, bias=False, kdim=inputs, vdim=inputs)
    nn.init.eye_(layer.out_proj.weight)
    q, kv = signs(SAMPLES, 1, 32), signs(SAMPLES, 1, inputs)
    path = "a.in_proj_weight" if packed else "a.v_proj_weight"
    if packed:
        model = Bag(lambda m, x: m.a(x, x, x)[0], a=layer)
        return Case(model, (q,), path, lambda m, _: m(q))
    for name in ("q_proj_weight", "k_proj_weight"):
        nn.init.ones_(getattr(layer, name))
    model = Bag(lambda m, q, kv: m.a(q, kv, kv)[0], a=layer)
    return Case(model, (q, kv), path, lambda m, _: m(q, kv))


SMALL = 1e-4  # weights so small that gates stay at ½ and tanh is linear


def recurrent(layer: Any, path: str, halvings: int) -> Case:
    """The first state is the linear map times ½ for each gate that it passes."""
    x, h = signs(SAMPLES, 1, 24), torch.zeros(1, SAMPLES, 16)
    if path == "weight_hh_l0":
        x, h = torch.zeros_like(x), signs(1, SAMPLES, 16)

    def first_state(m: Any, weight: Tensor) -> Tensor:
        double = copy.deepcopy(m).double()
        named = dict(double.named_parameters())
        for name, tensor in named.items():
            tensor.data = SMALL * weight.double() if name == path else torch.zeros_like(tensor)
        state = h.double()
        y: Tensor = double(x.double(), (state, torch.zeros_like(state)) if isinstance(m, nn.LSTM) else state)[0]
        scaled: Tensor = y * 2**halvings / SMALL
        return scaled

    return Case(layer, (x,), path, first_state)


def conv(layer: nn.Module, *shape: int, border: int = 0) -> Case:
    x = signs(SAMPLES, *shape)
    inner = slice(border, -border or None)
    return Case(layer, (x,), "weight", lambda m, _: m(x)[..., inner])


X = signs(SAMPLES, 24)
EXPERTS = signs(6, SAMPLES, 24)
TOKENS = torch.arange(SAMPLES)
CASES: dict[str, Case] = {
    "linear": Case(nn.Linear(24, 40, bias=False), (X,), "weight", lambda m, _: m(X)),
    "conv": conv(nn.Conv1d(6, 8, 3, bias=False), 6, 9),
    "grouped": conv(nn.Conv2d(12, 8, 3, groups=4, bias=False), 12, 5, 5),
    "depthwise": conv(nn.Conv1d(16, 16, 5, groups=16, bias=False), 16, 9),
    "strided": conv(nn.Conv1d(6, 8, 4, stride=2, bias=False), 6, 12),
    # One period of outputs is 2 positions: kernel 4 at stride 2 gives each output two taps.
    "transposed": conv(nn.ConvTranspose1d(8, 6, 4, stride=2, bias=False), 8, 7, border=4),
    "transposed, uneven": conv(nn.ConvTranspose1d(8, 6, 3, stride=2, bias=False), 8, 8, border=4),
    "transposed, depthwise": conv(nn.ConvTranspose1d(16, 16, 4, stride=2, groups=16, bias=False), 16, 7, border=4),
    "bilinear": Case(
        nn.Bilinear(6, 8, 20, bias=False), (X[:, :6], X[:, 6:14]), "weight", lambda m, _: m(X[:, :6], X[:, 6:14])
    ),
    "embedding": Case(nn.Embedding(SAMPLES, 24), (TOKENS,), "weight", lambda m, _: m(TOKENS)),
    "packed attention": attention(packed=True),
    "unpacked attention": attention(packed=False),
    "lstm input": recurrent(nn.LSTM(24, 16, batch_first=True), "weight_ih_l0", 2),
    "lstm hidden": recurrent(nn.LSTM(24, 16, batch_first=True), "weight_hh_l0", 2),
    "gru input": recurrent(nn.GRU(24, 16, batch_first=True), "weight_ih_l0", 1),
    "rnn input": recurrent(nn.RNN(24, 16, batch_first=True), "weight_ih_l0", 0),
    "rnn hidden": recurrent(nn.RNN(24, 16, batch_first=True), "weight_hh_l0", 0),
    "projected lstm": Case(
        nn.LSTM(24, 16, proj_size=8), (X[None],), "weight_hr_l0", lambda _, w: signs(SAMPLES, 16) @ w.T
    ),
    "experts": Case(
        Bag(lambda m, x: torch.bmm(x, m.w), w=torch.empty(6, 24, 40)), (EXPERTS,), "w", lambda m, _: m(EXPERTS)
    ),
    "experts by einsum": Case(
        Bag(lambda m, x: torch.einsum("eni,eio->eno", x, m.w), w=torch.empty(6, 24, 40)),
        (EXPERTS,),
        "w",
        lambda m, _: m(EXPERTS),
    ),
    "packed qkv, one linear": Case(nn.Linear(24, 72, bias=False), (X,), "weight", lambda m, _: m(X)),
}


def parameter(case: Case) -> Parameter:
    return next(p for p in trace(case.model, *case.x).graph.parameters if p.path == case.path)


def measured_fan_in(case: Case, variance: float = 0.25) -> float:
    """Var(y)/v for white x and weights ±√v, whose own scatter is no part of the tolerance."""
    weight = named_parameters(case.model)[case.path][0]
    with torch.no_grad():
        weight.copy_(math.sqrt(variance) * signs(*weight.shape))
        return float(case.output(case.model, weight).square().mean()) / variance


@pytest.mark.parametrize("name", CASES)
def test_the_variance_of_a_real_output_is_what_the_fan_says(name: str) -> None:
    torch.manual_seed(0)
    case = CASES[name]
    found = parameter(case)
    assert found.fans is not None
    # y² is a square of ± sums, of variance at most 2 (fan v)²; of the outputs of one sample nothing is assumed.
    assert measured_fan_in(case) == pytest.approx(found.fans.fan_in, rel=6 * math.sqrt(2 / SAMPLES))


def test_embeddings_go_by_their_dimension_and_not_by_the_vocabulary() -> None:
    fans = parameter(CASES["embedding"]).fans
    assert fans is not None
    assert (fans.fan_in, fans.fan_out) == (1, 24)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("packed attention", Parts(("q", "k", "v"))),
        ("lstm input", Parts(("i", "f", "g", "o"))),
        ("lstm hidden", Parts(("i", "f", "g", "o"))),
        ("gru input", Parts(("r", "z", "n"))),
        ("rnn hidden", None),
        ("experts", Parts(slices=True)),
        ("projected lstm", None),
        ("linear", None),
    ],
)
def test_what_a_layer_packs_is_declared(name: str, parts: Parts | None) -> None:
    assert parameter(CASES[name]).parts == parts


def test_attention_is_drawn_alike_packed_and_part_by_part() -> None:
    case = copy.deepcopy(CASES["packed attention"])
    graph = trace(case.model, *case.x).graph
    plan = make_plan(graph, overrides={"*in_proj_weight": "orthogonal"})
    entry = plan["a.in_proj_weight"]
    assert entry.initializer == PerPart(Orthogonal())
    assert str(entry.initializer) == "orthogonal per part"
    write_(case.model, plan, seed=0)
    q, k, v = named_parameters(case.model)["a.in_proj_weight"][0].detach().double().chunk(3)
    for part in (q, k, v):
        assert torch.allclose(part @ part.T, torch.eye(32, dtype=torch.float64), atol=1e-6)
    assert not torch.equal(q, k)
    assert Plan.from_json(plan.to_json()) == plan


def test_a_constant_for_one_gate_is_an_override() -> None:
    layer = nn.LSTM(4, 3)
    plan = make_plan(trace(layer, torch.zeros(2, 1, 4)).graph, overrides={"bias_ih_l0": forget_gate_bias()})
    write_(layer, plan, seed=0)
    assert torch.as_tensor(layer.bias_ih_l0).tolist() == [0] * 3 + [1] * 3 + [0] * 6
    assert not torch.as_tensor(layer.bias_hh_l0).any()


def test_what_is_kept_is_kept_whole() -> None:
    found = parameter(CASES["lstm input"])
    assert Entry(found, Keep(), "").initializer == Keep()
    assert Entry(found, Zeros(), "").initializer == Zeros()  # a constant is the same in every part
    assert Entry(found, VarianceScaling(), "").initializer == PerPart(VarianceScaling())


def test_the_experts_of_a_grouped_product_have_the_fans_of_one() -> None:
    offsets = torch.tensor([16, 32], dtype=torch.int32)
    model = Bag(lambda m, x: F.grouped_mm(x, m.w, offs=offsets), w=torch.zeros(2, 16, 32, dtype=torch.bfloat16))
    (found,) = trace(model, torch.zeros(32, 16, dtype=torch.bfloat16)).graph.parameters
    assert found.fans is not None
    assert (found.fans.fan_in, found.fans.fan_out, found.parts) == (16, 32, Parts(slices=True))


@torch.library.custom_op("fanin_tests::grouped_mm_fallback", mutates_args=())
def grouped(x: Tensor, weight: Tensor, offs: Tensor) -> Tensor:
    """Named and called as Hugging Face's, which stores (experts, out, in)."""
    return torch.cat([part @ w for part, w in zip(torch.tensor_split(x, offs[:-1]), weight, strict=True)])


@grouped.register_fake
def _(x: Tensor, weight: Tensor, offs: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[-1])


def test_the_experts_of_hugging_faces_grouped_product_have_the_fans_of_one() -> None:
    offsets = torch.tensor([16, 32])
    model = Bag(lambda m, x: grouped(x, m.w.transpose(-2, -1), offsets), w=torch.zeros(2, 24, 16))
    (found,) = trace(model, torch.zeros(32, 16)).graph.parameters
    assert found.fans is not None
    assert (found.fans.fan_in, found.fans.fan_out) == (16, 24)
