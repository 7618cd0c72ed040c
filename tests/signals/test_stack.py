"""Stacks of blocks that repeat: their maps are those of mean-field theory."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import fanin
from fanin.signals import Block, Signals, Stack, stacks

WIDTH = 512


def predicted(net: nn.Module, x: torch.Tensor, weight_var: float, bias_var: float) -> Signals:
    overrides = {
        "*weight": fanin.Normal(std=math.sqrt(weight_var / WIDTH)),
        "*bias": fanin.Normal(std=math.sqrt(bias_var)),
    }
    return fanin.predict(net, x, plan=fanin.plan(net, x, overrides=overrides))


def tanh_net(depth: int) -> nn.Sequential:
    with torch.device("meta"):
        return nn.Sequential(*[m for _ in range(depth) for m in (nn.Linear(WIDTH, WIDTH), nn.Tanh())])


@pytest.mark.parametrize(("weight_var", "depth"), [(1.0, 30), (1.3, 60), (2.5, 90)])
def test_a_plain_net_has_the_depth_scales_of_the_theory(weight_var: float, depth: int) -> None:
    """Two independent ways: the engine's sweep over the graph, and fixed points by quadrature (mean_field)."""
    signals = predicted(tanh_net(depth), torch.randn(8, WIDTH), weight_var, 0.05)
    (stack,) = stacks(signals)
    theory = fanin.mean_field("tanh", weight_var=weight_var, bias_var=0.05)
    assert len(stack.blocks) == depth
    assert stack.growth == pytest.approx(1, abs=math.exp(-(depth / 2 - 1) / (theory.variance_depth or 1)))  # settling
    assert theory.chi is not None
    assert theory.correlation_depth is not None
    assert stack.chi == pytest.approx(theory.chi, rel=1e-3)
    assert stack.variance_depth == pytest.approx(theory.variance_depth, rel=0.01)
    assert stack.correlation_depth == pytest.approx(theory.correlation_depth, rel=0.05)
    assert stack.trainable_depth == pytest.approx(6 * theory.correlation_depth, rel=0.05)


def test_depth_follows_the_changes_and_not_the_values() -> None:
    """The mutant takes the decay of c itself, which never ends at 0, and finds no depth scale."""
    blocks = tuple(Block(str(i), f"n{i}", 1.0, 0.5 + 0.5 * 0.8**i, None, 0.9**-i) for i in range(30))
    stack = Stack("", blocks)
    assert stack.correlation_depth == pytest.approx(-1 / math.log(0.8), rel=1e-6)
    assert stack.chi == pytest.approx(0.9)
    assert stack.gradient_depth == pytest.approx(-1 / math.log(0.9), rel=1e-6)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.inner, self.outer = nn.LayerNorm(64), nn.Linear(64, 128), nn.Linear(128, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.outer(torch.relu(self.inner(self.norm(x))))
        return out


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Residual() for _ in range(8))
        self.head = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        out: torch.Tensor = self.head(x)
        return out


def test_a_residual_stream_grows_and_no_depth_scale_is_claimed() -> None:
    net, x = Net(), torch.randn(16, 64)
    (stack,) = stacks(fanin.predict(net, x, plan=fanin.plan(net, x)))
    assert [b.path for b in stack.blocks] == [f"blocks.{i}" for i in range(8)]
    assert stack.growth > 1
    assert "blocks" in stack.summary
    assert stack.to_dict()["blocks"][0]["path"] == "blocks.0"


def test_a_net_without_repeats_has_no_stack() -> None:
    net, x = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)), torch.randn(4, 8)
    assert stacks(fanin.predict(net, x)) == ()
