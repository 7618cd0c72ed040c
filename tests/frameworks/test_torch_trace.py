"""The graph of a module: roles, fans, names and lines."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from fanin.errors import BadInput, NoParameters
from fanin.frameworks.torch import trace, write_
from fanin.graph import Fans, Graph, Role
from fanin.initializers import Constant
from fanin.plans import make_plan

W, R, B, E, S, H, U = (
    Role.WEIGHT,
    Role.RECURRENT,
    Role.BIAS,
    Role.EMBEDDING,
    Role.NORM_SCALE,
    Role.NORM_SHIFT,
    Role.UNKNOWN,
)
X = torch.zeros(2, 5, 4)
X2 = torch.zeros(5, 4)


class Does(nn.Module):
    """A model of these parameters and submodules that does `f(self, …)`."""

    def __init__(self, f: Callable[..., Any], **held: Tensor | nn.Module) -> None:
        super().__init__()
        for name, what in held.items():
            setattr(self, name, what if isinstance(what, nn.Module) else nn.Parameter(what))
        self.f = f

    def forward(self, *inputs: Any) -> Any:
        return self.f(self, *inputs)


def graph(model: nn.Module, *example: Any) -> Graph:
    return trace(model, *example).graph


def seen(found: Graph) -> dict[str, tuple[Role, tuple[float, float] | None]]:
    return {p.path: (p.role, (p.fans.fan_in, p.fans.fan_out) if p.fans else None) for p in found.parameters}


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape)


# Each expected fan is counted by hand: terms that meet in one output, outputs that one input reaches.
MODULES: list[tuple[nn.Module, Tensor, dict[str, tuple[Role, tuple[float, float] | None]]]] = [
    (nn.Linear(4, 3), X, {"weight": (W, (4, 3)), "bias": (B, None)}),
    (nn.Conv1d(4, 6, 3), zeros(2, 4, 9), {"weight": (W, (12, 18)), "bias": (B, None)}),
    (nn.Conv2d(4, 8, 3, stride=2, bias=False), zeros(2, 4, 9, 9), {"weight": (W, (36, 18))}),
    (nn.Conv2d(8, 8, 3, groups=8, bias=False), zeros(2, 8, 9, 9), {"weight": (W, (9, 9))}),
    (nn.Conv2d(8, 4, (1, 3), groups=2, padding="same", bias=False), zeros(2, 8, 9, 9), {"weight": (W, (12, 6))}),
    (nn.Conv3d(2, 4, 2, bias=False), zeros(1, 2, 3, 3, 3), {"weight": (W, (16, 32))}),
    (nn.ConvTranspose2d(8, 4, 4, stride=2, groups=2, bias=False), zeros(2, 8, 5, 5), {"weight": (W, (16, 32))}),
    (nn.BatchNorm1d(4), X2, {"weight": (S, None), "bias": (H, None)}),
    (nn.BatchNorm2d(4).eval(), zeros(2, 4, 3, 3), {"weight": (S, None), "bias": (H, None)}),
    (nn.LayerNorm(4), X, {"weight": (S, None), "bias": (H, None)}),
    (nn.RMSNorm(4), X, {"weight": (S, None)}),
    (nn.GroupNorm(2, 4), zeros(2, 4, 3), {"weight": (S, None), "bias": (H, None)}),
    (nn.InstanceNorm1d(4, affine=True), zeros(2, 4, 3), {"weight": (S, None), "bias": (H, None)}),
    (nn.Embedding(9, 4), torch.zeros(2, 3, dtype=torch.long), {"weight": (E, (1, 4))}),
    (nn.EmbeddingBag(9, 4), torch.zeros(2, 3, dtype=torch.long), {"weight": (E, None)}),
    (
        nn.GRU(4, 6, num_layers=2, bias=False),
        X,
        {
            "weight_ih_l0": (W, (4, 6)),
            "weight_hh_l0": (R, (6, 6)),
            "weight_ih_l1": (W, (6, 6)),
            "weight_hh_l1": (R, (6, 6)),
        },
    ),
    (
        nn.RNN(4, 6),
        X,
        {"weight_ih_l0": (W, (4, 6)), "weight_hh_l0": (R, (6, 6)), "bias_ih_l0": (B, None), "bias_hh_l0": (B, None)},
    ),
    (
        nn.LSTMCell(4, 6),
        X2,
        {"weight_ih": (W, (4, 6)), "weight_hh": (R, (6, 6)), "bias_ih": (B, None), "bias_hh": (B, None)},
    ),
    (
        nn.GRUCell(4, 6, bias=False),
        X2,
        {"weight_ih": (W, (4, 6)), "weight_hh": (R, (6, 6))},
    ),
]


@pytest.mark.parametrize(("model", "x", "expected"), MODULES, ids=lambda m: type(m).__name__)
def test_roles_and_fans_of_a_layer(model: nn.Module, x: Tensor, expected: dict[str, Any]) -> None:
    assert seen(graph(model, x)) == expected


def test_a_projected_bidirectional_lstm_knows_each_of_its_weights() -> None:
    found = seen(graph(nn.LSTM(4, 6, num_layers=2, bidirectional=True, proj_size=3), X))
    for direction in ("", "_reverse"):  # mutant: alternate W_ih and W_hh over a list whose period is 5
        assert found[f"weight_ih_l0{direction}"] == (W, (4, 6))
        assert found[f"weight_ih_l1{direction}"] == (W, (6, 6))
        assert found[f"weight_hh_l1{direction}"] == (R, (3, 6))
        assert found[f"weight_hr_l1{direction}"] == (W, (6, 3))
        assert found[f"bias_hh_l1{direction}"] == (B, None)


def test_attention_by_torch() -> None:
    attention = Does(lambda m, x: m.a(x, x, x)[0], a=nn.MultiheadAttention(4, 2, batch_first=True))
    assert seen(graph(attention, X)) == {
        "a.in_proj_weight": (W, (4, 4)),  # of query, key and value each
        "a.in_proj_bias": (B, None),
        "a.out_proj.weight": (W, (4, 4)),
        "a.out_proj.bias": (B, None),
    }
    keys = Does(lambda m, x, y: m.a(x, y, y)[0], a=nn.MultiheadAttention(4, 2, batch_first=True, kdim=6, vdim=6))
    found = seen(graph(keys, X, zeros(2, 5, 6)))
    expected = {"a.k_proj_weight": (W, (6, 4)), "a.in_proj_bias": (B, None)}  # the bias is used in three slices
    assert expected.items() <= found.items()


@pytest.mark.parametrize("training", [True, False])
def test_a_transformer_layer_is_the_same_in_training_and_on_the_fast_path(training: bool) -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True).train(training)
    found = seen(graph(layer, X))
    assert {"linear1.weight": (W, (4, 8)), "norm2.weight": (S, None)}.items() <= found.items()
    assert U not in {role for role, _ in found.values()}


@pytest.mark.parametrize(
    ("f", "weight", "fans"),
    [
        (lambda m, x: x @ m.w, zeros(4, 6), (4, 6)),
        (lambda m, x: x @ m.w.t(), zeros(6, 4), (4, 6)),
        (lambda m, x: x @ m.w.T, zeros(6, 4), (4, 6)),
        (lambda m, x: x @ m.w.mT, zeros(6, 4), (4, 6)),
        (lambda m, x: x @ m.w.transpose(0, 1), zeros(6, 4), (4, 6)),
        (lambda m, x: x @ m.w.T.T, zeros(4, 6), (4, 6)),
        (lambda m, x: (m.w @ x.mT).mT, zeros(6, 4), (4, 6)),
        (lambda m, x: x @ m.w, zeros(4), (4, 1)),
        (lambda m, x: x @ m.w, zeros(2, 4, 6), (4, 6)),  # one matrix for each of two samples
        (lambda m, x: torch.bmm(x, m.w), zeros(2, 4, 6), (4, 6)),
        (lambda m, x: x @ m.w[0], zeros(3, 4, 6), (4, 6)),
        (lambda m, x: F.linear(x, m.w), zeros(6, 4), (4, 6)),
        (lambda m, x: F.linear(x, m.w[:3]) + F.linear(x, m.w[3:]), zeros(6, 4), (4, 3)),  # two weights of 3×4
        (lambda m, x: [F.linear(x, part) for part in m.w.chunk(3)], zeros(6, 4), (4, 2)),
        (lambda m, x: F.linear(x, m.w.view(6, 4)), zeros(6, 4, 1, 1), (4, 6)),
        (lambda m, x: F.conv1d(x.mT, m.w.unsqueeze(-1)), zeros(6, 4), (4, 6)),
        (lambda m, x: torch.einsum("bti,io->bto", x, m.w), zeros(4, 6), (4, 6)),
        (lambda m, x: F.linear(x.bfloat16(), m.w.bfloat16()), zeros(6, 4), (4, 6)),
        (lambda m, x: torch.addmm(x[0, 0, :1], x[0], m.w), zeros(4, 6), (4, 6)),
        (lambda m, x: F.bilinear(x, x, m.w), zeros(6, 4, 4), (16, 24)),
    ],
)
def test_a_weight_is_seen_through_views(f: Callable[..., Any], weight: Tensor, fans: tuple[float, float]) -> None:
    found = graph(Does(f, w=weight), X)
    assert seen(found)["w"] == (W, fans)
    node = found.parameters[0].node
    assert node is not None
    assert "w" in found.by_name[node].inputs  # the operation reads the parameter, whatever view it is given


def rms(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


@pytest.mark.parametrize(
    ("f", "role"),
    [
        (lambda m, x: x @ torch.ones(4, 6) + m.v.new_zeros(6) + m.v.sum(), U),
        (lambda m, x: m.v * rms(x), S),
        (lambda m, x: rms(x.double()).to(x.dtype) * m.v, S),
        (lambda m, x: (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-5) * m.v, S),
        (lambda m, x: x / x.var(-1, keepdim=True).sqrt() * 2 + m.v, H),
        (lambda m, x: x @ torch.ones(4, 4) + m.v, B),
        (lambda m, x: x * m.v, U),  # a layer scale starts small: not a norm's
        (lambda m, x: rms(x) * (1 + m.v), U),  # starts at zero: not a norm's scale
        (lambda m, x: x + m.v, U),
    ],
)
def test_norms_and_biases_written_out_by_hand(f: Callable[..., Any], role: Role) -> None:
    assert seen(graph(Does(f, v=zeros(4)), X))["v"][0] is role


def test_a_position_table_is_no_bias() -> None:
    table = Does(lambda m, x: m.l(x) + m.pos, l=nn.Linear(4, 4), pos=zeros(1, 5, 4))  # mutant: any shape is a bias
    assert seen(graph(table, X))["pos"] == (U, None)


def test_a_product_of_two_weights_makes_neither_a_layer() -> None:
    low_rank = Does(lambda m, x: F.linear(x, m.a @ m.b), a=zeros(6, 2), b=zeros(2, 4))
    assert seen(graph(low_rank, X)) == {"a": (U, None), "b": (U, None)}


def test_the_weight_behind_a_parametrization_is_a_weight() -> None:
    first = parametrizations.weight_norm(nn.Linear(4, 3))
    second = parametrizations.spectral_norm(nn.Linear(3, 2))
    found = seen(graph(nn.Sequential(first, second), X2))
    assert {path: what for path, what in found.items() if "bias" not in path} == {
        "0.parametrizations.weight.original0": (Role.MAGNITUDE, None),
        "0.parametrizations.weight.original1": (Role.WEIGHT, (4, 3)),
        "1.parametrizations.weight.original": (Role.WEIGHT, (3, 2)),
    }


def test_a_weight_with_its_own_length_starts_as_its_direction_would() -> None:
    layer: nn.Linear = parametrizations.weight_norm(nn.Linear(400, 300))
    net = nn.Sequential(layer, nn.ReLU())
    plan = make_plan(graph(net, torch.zeros(2, 400)), "he")
    write_(net, plan, seed=0)
    length = plan["0.parametrizations.weight.original0"].initializer
    assert isinstance(length, Constant)
    assert math.isclose(length.value, math.sqrt(2))  # √400 · √(2/400); mutant: g left at 1
    assert torch.allclose(layer.weight.norm(dim=1), torch.full((300,), math.sqrt(2)))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 4)
        self.body = nn.Linear(4, 4)
        self.head = nn.Linear(4, 9, bias=False)
        self.head.weight = self.table.weight
        self.unused = nn.Parameter(torch.zeros(2))

    def forward(self, tokens: Tensor) -> dict[str, Any]:
        h = self.table(tokens)
        h = h + torch.tanh(self.body(h))
        return {"logits": self.head(h), "hidden": (h, None)}


def test_tied_weights_are_one_parameter_and_unused_ones_have_no_node() -> None:
    found = graph(Tied(), torch.zeros(2, 3, dtype=torch.long))
    by_path = {p.path: p for p in found.parameters}
    assert by_path["table.weight"].also == ("head.weight",)
    assert by_path["table.weight"].role is E
    assert by_path["unused"].node is None
    assert [n.name for n in found.users["table.weight"]] == ["embedding", "linear_1"]
    assert [n.op for n in found.users["embedding"]] == ["linear", "add"]  # the residual branches


def test_a_node_names_its_module_and_the_users_own_line() -> None:
    nodes = {n.name: n for n in graph(Tied(), torch.zeros(2, 3, dtype=torch.long)).nodes}
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    line = 1 + next(i for i, text in enumerate(lines) if "torch.tanh(self.body(h))" in text)
    assert (nodes["linear"].module, nodes["linear"].source) == ("body", f"{Path(__file__).name}:{line}")
    assert (nodes["tanh"].module, nodes["tanh"].source) == ("", f"{Path(__file__).name}:{line}")
    assert nodes["linear"].module_type == "torch.nn.modules.linear.Linear"
    assert nodes["tanh"].activation is not None


def test_a_module_used_twice_is_two_nodes_with_one_weight() -> None:
    shared = nn.Linear(4, 4)
    found = graph(nn.Sequential(shared, nn.ReLU(), shared), X2)
    assert [p.path for p in found.parameters] == ["0.weight", "0.bias"]
    assert [n.op for n in found.users["0.weight"]] == ["linear", "linear"]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (nn.ReLU(), "relu"),
        (nn.ReLU(inplace=True), "relu"),
        (nn.ReLU6(), "relu6"),
        (nn.Tanh(), "tanh"),
        (nn.Sigmoid(), "sigmoid"),
        (nn.GELU(), "gelu"),
        (nn.GELU(approximate="tanh"), "gelu_tanh"),
        (nn.SiLU(), "silu"),
        (nn.Mish(), "mish"),
        (nn.SELU(), "selu"),
        (nn.Hardswish(), "hardswish"),
        (nn.Hardsigmoid(), "hardsigmoid"),
        (nn.LeakyReLU(0.2), "leaky_relu(negative_slope=0.2)"),
        (nn.ELU(0.5), "elu(alpha=0.5)"),
        (nn.CELU(0.5), "celu(alpha=0.5)"),
        (nn.Softplus(2.0), "softplus(beta=2)"),
        (nn.Hardtanh(-2.0, 2.0), "hardtanh(min_val=-2, max_val=2)"),
        (nn.LogSigmoid(), "logsigmoid"),
    ],
)
def test_an_activation_is_recognised_with_its_parameters(module: nn.Module, name: str) -> None:
    calls = [n.activation for n in graph(nn.Sequential(nn.Linear(4, 4), module), X2).nodes if n.activation]
    assert [str(call) for call in calls] == [name]


def test_buffers_persistent_or_not_are_inputs_and_no_parameters() -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Linear(4, 4)
            self.kept: Tensor
            self.register_buffer("kept", torch.ones(4))
            self.passing: Tensor
            self.register_buffer("passing", torch.ones(4), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.w(x + self.kept) * self.passing
            return y

    found = graph(Shifted(), X2)
    assert [p.path for p in found.parameters] == ["w.weight", "w.bias"]
    assert found.by_name["add"].inputs[1] == "kept"
    assert found.by_name["mul"].inputs[1] == "passing"


def test_inputs_may_be_several_nested_and_plain_values() -> None:
    net = Does(lambda m, x, more, scale: m.w(x + more["y"][0]) * scale, w=nn.Linear(4, 4))
    assert [n.op for n in graph(net, X2, {"y": (X2, None)}, 2.0).nodes] == ["add", "linear", "mul"]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_model_on_meta_is_traced_without_memory(device: str) -> None:
    with torch.device("meta"):
        net = nn.Sequential(nn.Linear(50_000, 50_000), nn.BatchNorm1d(50_000))
    assert graph(net, torch.zeros(2, 50_000, device=device)).parameters[0].fans == Fans(50_000, 50_000)


@pytest.mark.parametrize("real", ["0.weight", "1.running_mean"])
def test_a_model_that_is_on_meta_in_part_is_traced_on_meta(real: str) -> None:
    def build() -> nn.Sequential:
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))

    model = build().to("meta")
    module, _, name = real.rpartition(".")
    kept = getattr(build().get_submodule(module), name)
    owner = model.get_submodule(module)
    (owner._parameters if name in owner._parameters else owner._buffers)[name] = kept
    assert graph(model, zeros(2, 4)) == graph(build(), zeros(2, 4))
    assert getattr(owner, name) is kept


def test_wrappers_leave_no_mark_on_the_graph() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.compile uses what PyTorch has deprecated
        compiled: Any = torch.compile(net)
    for wrapped in (compiled, nn.DataParallel(net)):
        found = graph(wrapped, X2)
        assert [p.path for p in found.parameters] == ["0.weight", "0.bias"]
        assert [n.module for n in found.nodes] == ["0", "1"]
        assert found.nodes[0].inputs[1:] == ("0.weight", "0.bias")


def test_what_cannot_be_traced_at_all_is_said_before_trying() -> None:
    with pytest.raises(BadInput, match=r"Expected a torch\.nn\.Module; got int"):
        trace(3, X2)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"pass one batch, measure\(model, x\)"):
        trace(nn.Linear(4, 4))
    with pytest.raises(NoParameters, match="ReLU has no parameters"):
        trace(nn.ReLU(), X2)


def test_a_lazy_model_is_named_and_not_made() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that lazy modules are new
        net: Any = nn.Sequential(nn.LazyLinear(3), nn.ReLU())
    with pytest.raises(BadInput, match=r"0\.weight, 0\.bias\. Run the model once"):
        trace(net, X2)
    assert torch.nn.parameter.is_lazy(net[0].weight)
