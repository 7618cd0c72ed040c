"""Loops over positions: which nodes belong to one, and what comes of running it as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fanin
from fanin.frameworks.torch import trace
from fanin.frameworks.torch.predicting.loop_back import WayBack
from fanin.frameworks.torch.predicting.loop_whole import Whole
from fanin.signals.loops import MARK, loops

STEPS, WIDTH = 8, 48


class Average(nn.Module):
    """h ← a h + x, a unit's own a; the mean of all h."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.rate = nn.Linear(WIDTH, WIDTH, bias=False), nn.Parameter(torch.linspace(0.0, 1.0, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        x, decay = self.enter(x), torch.exp(-3 * self.rate)
        h, out = torch.zeros_like(x[:, 0]), []
        for t in range(STEPS):
            h = decay * h + x[:, t]
            out.append(h)
        return torch.stack(out, 1)


class Plain(nn.Module):
    """Positions that never meet."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        return torch.stack([torch.tanh(x[:, t]) for t in range(STEPS)], 1)


def noise() -> Tensor:
    return torch.randn(16, STEPS, WIDTH, generator=torch.Generator().manual_seed(0))


def test_a_loop_is_found_with_all_of_its_steps_and_nothing_else() -> None:
    (loop,) = loops(trace(Average(), noise()).graph)
    ops = [node.op for node in loop.nodes]
    assert ops.count("select") >= STEPS
    assert ops[-1] == "stack"
    assert "linear" not in ops
    assert any(ref.name == "linear" for ref in loop.arguments.values())


def test_positions_that_never_meet_are_no_loop() -> None:
    assert loops(trace(Plain(), noise()).graph) == ()


def test_a_decay_is_slow_at_all_steps_or_at_none() -> None:
    """E h_t² = q Σ_k E a^2k over units. The mutant goes step by step and finds Σ_k (E a²)^k: at the end 24 % less."""
    torch.manual_seed(0)
    model = Average()
    plan = fanin.plan(model, noise(), overrides={"rate": fanin.Keep(), "*weight": fanin.Normal(std=WIDTH**-0.5)})
    found = fanin.predict(model, noise(), plan=plan)
    decay = np.exp(-3 * np.linspace(0, 1, WIDTH))
    exact = [float(sum((decay ** (2 * k)).mean() for k in range(t + 1))) for t in range(STEPS)]
    adds = [name for name in found.values if name.startswith("add")]
    for name, expected in zip(adds[-3:], exact[-3:], strict=True):
        assert found.values[name].second_moment == pytest.approx(expected, rel=0.06)  # 1024 draws
        assert MARK in found.assumed[name]


def test_what_comes_back_through_a_loop_is_what_is_measured() -> None:
    """The gradient of x_t is δ times the sum of what its unit keeps: E (Σ_k a^k)² for white δ is Σ_k E a^2k."""
    torch.manual_seed(0)
    model, x = Average(), noise()
    plan = fanin.plan(model, x, overrides={"rate": fanin.Keep(), "*weight": fanin.Normal(std=WIDTH**-0.5)})
    predicted, measured = fanin.predict(model, x, plan=plan), fanin.measure(model, x, plan=plan, seeds=range(8))
    for moments in ("values", "gradients"):
        seen: Any = getattr(measured, moments)
        assert getattr(predicted, moments)["linear"].second_moment == pytest.approx(
            seen["linear"].second_moment, rel=0.1
        )
    rates = [signals.parameters["rate"].gradient for signals in (predicted, measured)]
    assert rates[0].second_moment == pytest.approx(rates[1].second_moment, rel=0.5)  # type: ignore[union-attr]


class Selective(nn.Module):
    """h ← a h + u b, where what all channels have in common, b, is also read outside."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.select = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, 4, bias=False)
        self.rate = nn.Parameter(torch.linspace(0.0, 1.0, WIDTH))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        u, b = self.enter(x), self.select(x)
        decay, common = torch.exp(-3 * self.rate)[:, None], b[:, None]
        drive = u.transpose(1, 2)[..., None] * common
        h, out = torch.zeros_like(drive[:, :, 0]), []
        for t in range(STEPS):
            h = decay * h + drive[:, :, t]
            out.append(h.sum(-1))
        return torch.stack(out, 1), 10 * common  # as large a gradient as the loop sends back


def test_features_are_cut_although_one_end_has_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all 48 it is run less often; what the 44 left out send back to b counts, and what comes from outside once.

    Mutant: only what the 4 send back counts.
    """
    torch.manual_seed(0)
    model, x = Selective(), noise()
    plan = fanin.plan(model, x, overrides={"rate": fanin.Keep(), "*weight": fanin.Normal(std=WIDTH**-0.5)})
    cuts, values = [], Whole.values

    def noted(whole: Whole) -> Any:
        cuts.append(whole.cut)
        return values(whole)

    monkeypatch.setattr(Whole, "values", noted)
    predicted, measured = fanin.predict(model, x, plan=plan), fanin.measure(model, x, plan=plan, seeds=range(16))
    assert [(cut.size, cut.left) for cut in cuts] == [(WIDTH, 4)]
    (loop,) = loops(trace(model, x).graph)
    name = next(node.name for node in loop.nodes if node.shape == (16, 1, STEPS, 4))
    found, exact = (s.gradients[name].second_moment for s in (predicted, measured))
    assert found == pytest.approx(exact, rel=0.1)


class FromZeros(Average):
    """The same; zeros that the model makes have axes of their own."""

    def forward(self, x: Tensor) -> Tensor:
        x, decay = self.enter(x), torch.exp(-3 * self.rate)[:, None]
        h, out = x.new_zeros(len(x), WIDTH, 2), []
        for t in range(STEPS):
            h = h * decay + x[:, t, :, None]
            out.append(h.sum(-1))
        return torch.stack(out, 1)


def test_zeros_to_start_from_do_not_say_what_axes_count() -> None:
    """Before, 48 units were taken for positions, and 8 steps for features of which each has its own gradient."""
    found = fanin.predict(FromZeros(), noise())
    (loop,) = loops(trace(FromZeros(), noise()).graph)
    assert found.values[loop.last].second_moment > 0
    assert found.gradients[loop.last].second_moment > 0
    assert found.values[loop.last].across_positions is not None


class TwoEnds(nn.Module):
    """Steps of which two tensors are read."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.rate = nn.Linear(WIDTH, WIDTH, bias=False), nn.Parameter(torch.linspace(0.0, 1.0, WIDTH))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x, decay = self.enter(x), torch.exp(-3 * self.rate)
        h, out, squares = torch.zeros_like(x[:, 0]), [], []
        for t in range(STEPS):
            h = decay * h + x[:, t]
            out.append(h)
            squares.append(h * h)
        return torch.stack(out, 1), torch.stack(squares, 1)


def test_gradients_reach_a_loop_in_an_order_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn for δ goes from end to end: in the order of a set, a process would find what no other does.

    Mutant: another order.
    """
    seen, through = [], WayBack.through

    def noted(back: WayBack, reached: Any) -> Any:
        seen.extend(reached)
        return through(back, reached)

    monkeypatch.setattr(WayBack, "through", noted)
    fanin.predict(TwoEnds(), noise())
    assert seen == ["stack", "stack_1"]
