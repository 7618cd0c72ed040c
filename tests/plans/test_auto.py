"""What auto decides in whole models, and what its tuning makes of the predicted signals."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fanin
from fanin.initializers import Mirrored, Orthogonal, VarianceScaling

ACTS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "selu": nn.SELU}


def chain(act: str, depth: int, width: int = 64) -> nn.Sequential:
    layers = [m for _ in range(depth) for m in (nn.Linear(width, width), ACTS[act]())]
    return nn.Sequential(*layers, nn.Linear(width, 10))


X = torch.randn(256, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("act", "depth"), [("relu", 100), ("gelu", 30), ("silu", 30)])
def test_deep_nets_hand_on_signals_and_gradients(act: str, depth: int) -> None:
    """Mutant: Gaussian weights of the same gain, whose moments differ by far more."""
    net = chain(act, depth)
    plan = fanin.plan(net, X)
    first, inner = plan["0.weight"].initializer, plan["2.weight"].initializer
    assert (first, inner) == (Mirrored(columns=False), Mirrored())
    seen = fanin.measure(net, X, plan=plan, seeds=3)
    values = [m.second_moment for name, m in seen.values.items() if name.startswith("linear")][:-1]
    gradients = [m.second_moment for name, m in seen.gradients.items() if name.startswith("linear")][1:]
    for moments in (values, gradients):
        assert max(moments) / min(moments) < 1.05  # an isometry; gradients also see which units are active


@pytest.mark.parametrize("act", ["tanh", "sigmoid"])
def test_saturating_chains_keep_most_of_the_gradient(act: str) -> None:
    net = chain(act, 100)
    seen = fanin.measure(net, X, plan=fanin.plan(net, X), seeds=3)
    gradients = [m.second_moment for name, m in seen.gradients.items() if name.startswith("linear")][1:]
    assert max(gradients) / min(gradients) < 1e3  # torch's own start: beyond 1e30


def test_prediction_and_measurement_agree_on_mirrored_pairs() -> None:
    net = chain("gelu", 20)
    plan = fanin.plan(net, X)
    predicted, measured = fanin.predict(net, X, plan=plan), fanin.measure(net, X, plan=plan, seeds=8)
    for which in ("values", "gradients"):
        for name, m in getattr(measured, which).items():
            assert math.isclose(getattr(predicted, which)[name].second_moment, m.second_moment, rel_tol=0.1), name


def test_odd_widths_and_short_chains_stay_gaussian() -> None:
    odd = fanin.plan(chain("relu", 12, width=63), torch.zeros(2, 63))
    assert not any(isinstance(e.initializer, Mirrored) for e in odd)
    short = fanin.plan(chain("relu", 4), X)
    assert isinstance(short["2.weight"].initializer, VarianceScaling)
    assert isinstance(fanin.plan(chain("tanh", 12, width=63), torch.zeros(2, 63))["2.weight"].initializer, Orthogonal)


def test_deep_selu_nets_get_orthogonal_rows_of_norm_one() -> None:
    decided = fanin.plan(chain("selu", 20), X)["2.weight"]
    drawn = decided.initializer.draw(decided.target, 0).reshape(decided.parameter.shape)
    assert isinstance(decided.initializer, Orthogonal)
    assert (drawn**2).sum(1) == pytest.approx(1, abs=1e-5)


class Residual(nn.Module):
    def __init__(self, blocks: int, norm: bool, width: int = 64) -> None:
        super().__init__()
        self.enter = nn.Linear(width, width)
        self.a = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.b = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.norms = nn.ModuleList(nn.LayerNorm(width) if norm else nn.Identity() for _ in range(blocks))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Any:
        x = self.enter(x)
        for a, b, norm in zip(self.a, self.b, self.norms, strict=True):
            x = x + b(F.relu(a(norm(x))))
        return self.head(x)


@pytest.mark.parametrize("norm", [True, False])
def test_branches_add_what_the_stream_has_over_all_of_them(norm: bool) -> None:
    """E x² grows by 1 + 1/N at each of N branches: to e in all. Mutant: unit gains, 2^N without norms."""
    net = Residual(24, norm)
    plan = fanin.plan(net, X)
    seen = fanin.measure(net, X, plan=plan, seeds=8)
    adds = [m.second_moment for name, m in seen.values.items() if name.startswith("add")]
    grown = adds[-1] / seen.values["linear"].second_moment
    assert 2 < grown < 3.5
    assert 0.1 < seen.values[list(seen.values)[-1]].second_moment < 0.5  # logits of about a quarter


def test_tuning_leaves_what_the_caller_decided() -> None:
    net = Residual(4, norm=False)
    plan = fanin.plan(net, X, overrides={"a.1.weight": "normal(std=1.0)"})
    assert plan["a.1.weight"].initializer == fanin.Normal(std=1.0)  # mutant: tuned as all others
    assert "× " in plan["b.1.weight"].why  # tuned to what that makes


def test_a_plan_does_not_depend_on_the_values_of_the_example() -> None:
    net = chain("gelu", 4)
    assert fanin.plan(net, X) == fanin.plan(net, 100 * X) == fanin.plan(net, torch.zeros(256, 64))


def test_an_lstm_remembers_as_long_as_its_sequences_are() -> None:
    class Reads(nn.Module):
        def __init__(self, batch_first: bool = True) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(8, 16, batch_first=batch_first), nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Any:
            return self.head(self.lstm(x)[0])

    long, short = fanin.plan(Reads(), torch.zeros(2, 200, 8)), fanin.plan(Reads(), torch.zeros(300, 20, 8))
    assert fanin.plan(Reads(batch_first=False), torch.zeros(200, 2, 8)).diff(long) == ()
    assert str(long["lstm.bias_ih_l0"].initializer) == "Chrono(longest=200)"
    # mutant: the longer axis counts, which is the batch's
    assert str(short["lstm.bias_ih_l0"].initializer) == "zeros per part, f: Constant(value=1)"
    assert str(long["lstm.weight_hh_l0"].initializer) == "orthogonal per part"


def test_a_sweep_that_fails_is_told_and_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    from fanin.frameworks import torch as adapter

    def broken(*_: Any) -> Any:
        def sweep(*_: Any) -> Any:
            raise RuntimeError("no kernel")

        return sweep

    monkeypatch.setattr(adapter, "sweep", broken)
    plan = fanin.plan(chain("relu", 3), X)
    assert any("not tuned on predicted signals: RuntimeError: no kernel" in note for note in plan.notes)


class Attends(nn.Module):
    """One attention, its logits divided by √head width where `how` says, or nowhere."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.query, self.key, self.value, self.out = (nn.Linear(64, 64, bias=False) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.query(x), self.key(x), self.value(x)
        if self.how == "fused":
            return self.out(nn.functional.scaled_dot_product_attention(q, k, v))  # type: ignore[no-any-return]
        if self.how == "fused, scale 1":
            return self.out(nn.functional.scaled_dot_product_attention(q, k, v, scale=1.0))  # type: ignore[no-any-return]
        logits = (q / 8 if self.how == "queries" else q) @ k.transpose(1, 2)
        logits = logits * 0.125 if self.how == "logits" else logits
        return self.out(logits.softmax(-1) @ v)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("how", "gain"),
    [("fused", 1.0), ("fused, scale 1", 1 / 8), ("queries", 1.0), ("logits", 1.0), ("nowhere", 1 / 8)],
)
def test_queries_make_up_for_logits_that_nothing_divides(how: str, gain: float) -> None:
    """As in T5, whose queries start so. Mutant: gain 1 for all, and the softmax is one-hot."""
    torch.manual_seed(0)
    net, x = Attends(how), torch.randn(4, 16, 64)
    plan = fanin.plan(net, x)
    assert plan["query.weight"].std == pytest.approx(gain / 8, rel=1e-6)
    assert plan["key.weight"].std == pytest.approx(1 / 8, rel=1e-6)
    (seen,) = fanin.diagnose(net, x, plan=plan).signals.attention.values()
    assert 0.7 < seen.logit_std < 1.4
