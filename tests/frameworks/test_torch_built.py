"""The laws that constructors draw from are read off their operations, and are those of the values that they draw."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fanin
from fanin.frameworks.torch import on_meta, trace
from fanin.frameworks.torch.building.built import Built, built
from fanin.frameworks.torch.model.names import named_parameters
from fanin.graph import Graph, Parameter, Parts
from fanin.initializers import (
    Constant,
    CutNormal,
    Dirac,
    Identity,
    Initializer,
    Keep,
    Normal,
    Ones,
    Orthogonal,
    PerPart,
    Sparse,
    Structure,
    Uniform,
    Zeros,
)
from fanin.testing.tolerance import std_tolerance

CUT_AT_TWO = CutNormal(0.02, 0.0, -0.04, 0.04)


def bare(model: nn.Module) -> Graph:
    """A graph of the parameters alone."""
    named = named_parameters(model).items()
    dtype = "float32"
    return Graph("bare", (), tuple(Parameter(path, tuple(t.shape), dtype, also=also) for path, (t, also) in named))


def built_of(make: Callable[[], nn.Module]) -> Built:
    with on_meta() as recorded:
        model = make()
    return built(recorded, model, bare(model))


def truncated_by_quantiles(w: Tensor, mean: float, std: float, low: float, high: float) -> Tensor:
    """As timm writes it, and PyTorch before 2.13 did."""
    below, above = ((1 + math.erf((x - mean) / std / math.sqrt(2))) / 2 for x in (low, high))
    return (
        w.uniform_(2 * below - 1, 2 * above - 1).erfinv_().mul_(std * math.sqrt(2)).add_(mean).clamp_(min=low, max=high)
    )


def packed(w: Tensor) -> Tensor:
    for part, std in zip(w.chunk(3), (1.0, 2.0, 1.0), strict=True):
        part.normal_(std=std)
    return w


def padded(w: Tensor) -> Tensor:
    w.normal_()[0].fill_(0)
    return w


def blocks(w: Tensor) -> Tensor:
    for part in w.chunk(2):
        nn.init.orthogonal_(part, 0.5)
    return w


def one_law(w: Tensor) -> Tensor:
    """Column by column, but alike."""
    w.fill_(2.0)
    w[:, 1] = 2.0
    return w


# What a constructor does with a tensor of shape (6, 4), and the law of it.
WRITTEN: dict[str, tuple[Callable[[Tensor], Any], Initializer]] = {
    "normal": (lambda w: w.normal_(1.0, 0.5), Normal(0.5, 1.0)),
    "without spread": (lambda w: w.normal_(1.0, 0.0), Ones()),
    "uniform": (lambda w: nn.init.uniform_(w, -1, 3), Uniform(-1, 3)),
    "the last writer": (lambda w: w.normal_().zero_().uniform_(0, 1), Uniform(0, 1)),
    "scaled": (lambda w: w.uniform_(0, 1).mul_(-2).add_(1), Uniform(-1, 1)),
    "divided": (lambda w: w.normal_().div_(math.sqrt(4)), Normal(0.5)),
    "another tensor": (lambda w: torch.randn(6, 4) * 0.02 + 1, Normal(0.02, 1.0)),
    "subtracted from": (lambda w: 1 - torch.rand(6, 4), Uniform(0, 1)),
    "a constant's function": (lambda w: torch.log(torch.full((6, 4), 2.0)), Constant(math.log(2.0))),
    "a small constant": (lambda w: 1e-5 * torch.ones(4), Constant(1e-5)),
    "the user's data": (lambda w: torch.tensor(0.5), Constant(0.5)),
    "copied": (lambda w: w.copy_(torch.randn(4, 6).t()), Normal()),
    "cloned": (lambda w: w.normal_().detach().clone(), Normal()),
    "another dtype": (lambda w: w.normal_().to(torch.bfloat16), Normal()),
    "Xavier": (nn.init.xavier_uniform_, Uniform(-math.sqrt(0.6), math.sqrt(0.6))),
    "truncated, far": (lambda w: nn.init.trunc_normal_(w, std=0.02), CutNormal(0.02)),
    "truncated, near": (lambda w: nn.init.trunc_normal_(w, std=0.02, a=-0.04, b=0.04), CUT_AT_TWO),
    "orthogonal": (lambda w: nn.init.orthogonal_(w, 2.0).mul_(-0.5), Orthogonal(1.0)),
    "orthogonal, transposed": (lambda w: nn.init.orthogonal_(w.t()), Orthogonal()),
    "eye": (lambda w: nn.init.eye_(w).mul_(3), Identity(3.0)),
    "sparse": (lambda w: nn.init.sparse_(w, 0.5), Sparse(0.5)),
    "dirac": (lambda w: nn.init.dirac_(torch.empty(4, 2, 3), groups=2), Dirac(2)),
    "a row": (padded, PerPart(Normal(), {"0:1": Zeros()}, Parts(("0:1", "1:6"), sizes=(1, 5)))),
    "parts": (packed, PerPart(Normal(), {"2:4": Normal(2.0)}, Parts(("0:2", "2:4", "4:6"), sizes=(2, 2, 2)))),
    "orthogonal parts": (blocks, PerPart(Orthogonal(0.5), (), Parts(("0:3", "3:6"), sizes=(3, 3)))),
    "concatenated": (
        lambda w: torch.cat([torch.zeros(2), torch.ones(1)]),
        PerPart(Zeros(), {"2:3": Ones()}, Parts(("0:2", "2:3"), sizes=(2, 1))),
    ),
    "stacked": (lambda w: torch.stack([torch.randn(3), torch.randn(3)]), Normal()),
    "alike though scattered": (one_law, Constant(2.0)),
    "no elements": (lambda w: torch.randn(0, 4), Constant(0.0)),
}


def holding(f: Callable[[Tensor], Any]) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        module = nn.Module()
        with torch.no_grad():
            w = torch.empty(6, 4)
            made = f(w)
            module.w = nn.Parameter(w if getattr(made, "_base", None) is not None else made)
        return module

    return make


@pytest.mark.parametrize("what", WRITTEN)
def test_the_law_is_read_off_the_operations(what: str) -> None:
    f, law = WRITTEN[what]
    (entry,) = built_of(holding(f)).plan
    found = entry.initializer
    if isinstance(law, Constant):
        assert isinstance(found, Constant)
        assert found.value == pytest.approx(law.value)
    elif isinstance(law, (Uniform, Normal, CutNormal)):
        assert type(found) is type(law)
        assert vars(found) == pytest.approx(vars(law), abs=1e-12)
    else:
        assert found == law


def test_a_truncated_law_by_quantiles_is_recognised() -> None:
    for low, high, mean in ((-0.04, 0.04, 0.0), (-2.0, 2.0, 0.0), (-0.01, 0.05, 0.01)):
        truncated = partial(truncated_by_quantiles, mean=mean, std=0.02, low=low, high=high)
        (entry,) = built_of(holding(truncated)).plan
        found, expected = entry.initializer.law(entry.target), CutNormal(0.02, mean, low, high).law(entry.target)
        assert isinstance(entry.initializer, CutNormal)
        assert (found.mean, found.std) == pytest.approx((expected.mean, expected.std), rel=1e-6, abs=1e-9)
    (clipped,) = built_of(holding(lambda w: w.normal_().clamp_(-1, 1))).plan
    assert isinstance(clipped.initializer, Keep)  # mutant: take what is clamped for what is truncated


class Kept(nn.Module):
    """Parameters that have none of fanin's laws."""

    def __init__(self) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.log(torch.arange(1.0, 17.0).repeat(8, 1)))
        self.step = nn.Parameter(torch.exp(torch.rand(2000) * math.log(100) + math.log(0.001)))
        self.column = nn.Parameter(torch.randn(40, 2))
        self.column.data[:, 1] = 0
        self.alike = nn.Parameter(torch.tril(torch.ones(1, 3))[:, :1].clone())
        self.never = nn.Parameter(torch.empty(3))


def test_what_has_no_law_is_measured_on_its_values_or_listed() -> None:
    found = built_of(Kept)
    assert set(found.kept) == {"decay", "step", "column"}
    real = Kept().decay.detach().double()
    assert found.kept["decay"].mean == pytest.approx(float(real.mean()))
    assert found.kept["decay"].std == pytest.approx(float(real.std(correction=0)))
    assert found.kept["decay"].structure is Structure.FIXED
    mean = 0.099 / math.log(100)  # of exp(log 0.001 + u log 100)
    second = (0.1**2 - 0.001**2) / (2 * math.log(100))
    std = math.sqrt(second - mean**2)
    assert found.kept["step"].mean == pytest.approx(mean, abs=6 * std / math.sqrt(6000))
    assert found.kept["column"].std == pytest.approx(math.sqrt(0.5), rel=std_tolerance(4080, kurtosis=6))
    assert found.plan["alike"].initializer == Ones()
    assert found.unknown == {"never": "the constructor leaves its memory as it is, without a value"}
    assert found.plan["never"].initializer == Keep()


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, bias=False)
        self.norm = nn.BatchNorm2d(width)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.norm.weight)


class Attends(nn.Module):
    """Reads numbers from tensors as it is built."""

    def __init__(self) -> None:
        super().__init__()
        rates = [float(x) for x in torch.linspace(0, 0.1, 3)]
        self.drop = nn.Dropout(rates[1] if torch.linspace(0, 1, 3).tolist()[1] > 0.25 else 0.0)
        self.qkv = nn.Linear(16, 48)
        self.table = nn.Parameter(torch.from_numpy(np.ones((2, 16), np.float32)) * torch.full((16,), 0.5))
        self.position = nn.Parameter(torch.zeros(1, int(torch.ones(5).nonzero().numel()), 16))
        self.scale = nn.Parameter(torch.full((3,), float(torch.arange(4.0).numpy()[2])))
        nn.init.trunc_normal_(self.qkv.weight, std=0.02)
        nn.init.trunc_normal_(self.position, std=0.02)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "transformer": lambda: nn.Transformer(16, 2, 1, 1, 32, batch_first=True),
    "residual": lambda: nn.Sequential(Block(8), Block(8), nn.Linear(8, 3)),
    "recurrent": lambda: nn.ModuleList([nn.LSTM(4, 16, 2, bidirectional=True), nn.GRUCell(3, 8)]),
    "attention": Attends,
    "others": lambda: nn.ModuleList(
        [nn.Embedding(50, 8, padding_idx=3), nn.Bilinear(3, 4, 5), nn.PReLU(), nn.ConvTranspose1d(4, 8, 3)]
    ),
    "another precision": lambda: nn.Linear(30, 30).to(torch.bfloat16),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_has_the_law_that_the_same_code_draws_from(name: str) -> None:
    found = built_of(MODELS[name])
    assert not found.unknown
    torch.manual_seed(0)
    draws = [named_parameters(MODELS[name]()) for _ in range(2)]
    for entry in found.plan:
        path = entry.parameter.path
        law = entry.initializer.law(entry.target)
        values = torch.stack([drawn[path][0].detach().double() for drawn in draws])
        n = values.numel()
        assert float(values.mean()) == pytest.approx(law.mean, abs=6 * law.std / math.sqrt(n) + 1e-9), path
        deviation = float((values - law.mean).square().mean().sqrt())
        # mutant: the standard deviation that is given to trunc_normal_ for the one that is drawn
        assert deviation == pytest.approx(law.std, rel=std_tolerance(n, max(law.kurtosis, 3.0)), abs=1e-9), path
        assert law.low - 1e-3 <= float(values.min()) <= float(values.max()) <= law.high + 1e-3


def test_what_a_parameter_packs_keeps_its_parts() -> None:
    class Gated(nn.LSTM):
        def reset_parameters(self: Any) -> None:
            for weight in (self.weight_ih_l0, self.weight_hh_l0):
                nn.init.orthogonal_(weight)
            for bias in (self.bias_ih_l0, self.bias_hh_l0):
                nn.init.zeros_(bias)
            with torch.no_grad():
                self.bias_hh_l0[8:16].fill_(1)

    with on_meta() as recorded:
        model = Gated(4, 8)
    plan = built(recorded, model, trace(model, torch.zeros(3, 2, 4)).graph).plan
    assert plan["bias_hh_l0"].initializer == PerPart(Zeros(), {"f": Ones()})
    # All gates are one orthogonal matrix, whose elements have variance 1/32; mutant: one for each gate, 1/8
    assert plan["weight_hh_l0"].std == pytest.approx(32**-0.5)


def test_real_parameters_are_measured() -> None:
    with on_meta() as recorded:
        model: Any = nn.Linear(3, 2)
        model.scale = nn.Parameter(torch.from_numpy(np.array([1.0, 3.0], np.float32)))
    found = built(recorded, model, bare(model))
    assert (found.kept["scale"].mean, found.kept["scale"].std) == (2.0, 1.0)


def test_what_was_changed_after_the_block_has_no_law() -> None:
    with on_meta() as recorded:
        model = nn.Linear(3, 2)
    assert recorded.law(model.weight) is not None
    with torch.no_grad():
        model.weight.mul_(2)
    assert recorded.law(model.weight) is None
    assert "changed after the block" in built(recorded, model, bare(model)).unknown["weight"]


def test_memory_that_a_tensor_is_given_later_does_not_rewrite_its_history() -> None:
    with on_meta() as recorded:
        weight = nn.Parameter(torch.ones(3))
        doubled = (weight * 2).detach()
        weight.data = torch.zeros(3)
    assert recorded.value(weight, seed=0).tolist() == [0.0] * 3
    assert recorded.value(doubled, seed=0).tolist() == [2.0] * 3
    assert recorded.law(doubled) == Constant(2.0)


def test_initializers_that_give_up_on_meta_are_replayed() -> None:
    with on_meta() as recorded:
        orthogonal, spike = torch.empty(4, 4), torch.empty(2, 2, 3)
        truncated = torch.empty(1000)
        nn.init.orthogonal_(orthogonal)
        nn.init.dirac_(spike)
        nn.init.trunc_normal_(truncated, a=-1, b=1)
    q = recorded.value(orthogonal, seed=0)
    assert torch.allclose(q @ q.T, torch.eye(4), atol=1e-6)
    assert torch.equal(recorded.value(spike, seed=0), nn.init.dirac_(torch.empty(2, 2, 3)))
    assert recorded.value(truncated, seed=0).abs().max() <= 1


def test_a_plan_as_built_is_shown_changed_and_written() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.linspace(0, 1, 300))
            self.linear = nn.Linear(300, 200)
            nn.init.trunc_normal_(self.linear.weight, std=0.02, a=-0.04, b=0.04)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.linear(x * self.table)
            return y

    with on_meta() as recorded:
        model = Net()
    plan = fanin.plan(model, torch.zeros(2, 300), recipe=recorded, overrides={"linear.bias": "zeros"})
    assert plan.recipe == "as built"
    assert [str(entry.initializer) for entry in plan] == ["keep", "CutNormal(std=0.02, low=-0.04, high=0.04)", "zeros"]
    assert plan["linear.weight"].why == "as built: trunc_normal"
    fanin.materialize_(model, plan, seed=0, recorded=recorded)
    assert torch.equal(model.table.detach(), torch.linspace(0, 1, 300))
    deviation = float(model.linear.weight.detach().double().std())
    assert deviation == pytest.approx(plan["linear.weight"].std, rel=std_tolerance(60_000))
