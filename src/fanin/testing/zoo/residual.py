"""Residual streams that multiply, branches that are shut or drown what they are added to, norms, and nets of chance."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fanin.testing.zoo.case import Case, Situation

WIDTH: Final = 64
BLOCKS: Final = 10


class Block(nn.Module):
    """x + γ W φ(V x), with a norm before it, after it, or none."""

    def __init__(self, norm: str, *, scale: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH) if norm != "none" else nn.Identity()
        self.after = norm == "post"
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.scale = nn.Parameter(torch.ones(WIDTH)) if scale else None

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width) → the same."""
        h: Tensor = self.second(torch.relu(self.first(x if self.after else self.norm(x))))
        h = x + (h if self.scale is None else h * self.scale)
        return self.norm(h) if self.after else h


def residual(
    norm: str = "none", *, first: float = 2.0**0.5, second: float = 1.0, scale: float | None = None
) -> Situation:
    """Ten blocks.

    Args:
        first, second: std of the weights of a block, times √fan_in.
        scale: what multiplies each branch.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        blocks = [Block(norm, scale=scale is not None) for _ in range(BLOCKS)]
        readout = nn.Linear(WIDTH, 10)
        net = nn.Sequential(nn.Linear(32, WIDTH), *blocks, readout)
        for module in net.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
                nn.init.zeros_(module.bias)
        for block in blocks:
            block.first.weight.data *= first
            block.second.weight.data *= second
            if block.scale is not None and scale is not None:
                nn.init.constant_(block.scale, scale)
        readout.weight.data *= 0.5
        inputs = torch.randn(64, 32)
    return Situation(net, (inputs,), partial(F.cross_entropy, target=torch.arange(64) % 10))


def normed(norm: Callable[[int], nn.Module], std: float) -> Situation:
    """Three layers with norms.

    Args:
        std: of the weights before each norm, times √fan_in.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        sizes = (32, WIDTH, WIDTH, WIDTH)
        layers = [nn.Linear(n, WIDTH) for n in sizes]
        for layer in layers:
            nn.init.normal_(layer.weight, std=std * layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)
        hidden = [m for layer in layers for m in (layer, norm(WIDTH), nn.ReLU())]
        net = nn.Sequential(*hidden, nn.Linear(WIDTH, 10))
        inputs = torch.randn(64, 32)
    return Situation(net, (inputs,), partial(F.cross_entropy, target=torch.arange(64) % 10))


def narrow(depth: int, width: int) -> Situation:
    """He's start of ReLU layers."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        hidden = [m for _ in range(depth) for m in (nn.Linear(width, width), nn.ReLU())]
        net = nn.Sequential(*hidden, nn.Linear(width, 10))
        for layer in net:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        inputs = torch.randn(64, width)
    return Situation(net, (inputs,), partial(F.cross_entropy, target=torch.arange(64) % 10))


CASES: Final = (
    Case("residual, no norm, branches as large as the stream", residual, frozenset({"F05"}), frozenset({"B02", "L01"})),
    Case("residual, no norm, branches by 1/√N", partial(residual, second=BLOCKS**-0.5)),
    Case("residual, no norm, branches at 0", partial(residual, second=0.0)),
    Case("residual, pre-norm", partial(residual, "pre")),
    Case("residual, post-norm", partial(residual, "post", second=0.3)),
    Case("residual, small scales", partial(residual, "pre", scale=1e-5)),
    Case("residual, two zeros in a row", partial(residual, "pre", second=0.0, scale=0.0), frozenset({"F06", "U01"})),
    Case("residual, small at the end", partial(residual, "pre", second=1e-4)),
    Case("residual, shut", partial(residual, "pre", first=1e-4, second=1e-2), frozenset({"F06"})),
    Case(
        "residual, post-norm, drowned", partial(residual, "post", second=16.0), frozenset({"F06"}), frozenset({"B02"})
    ),
    Case("layer norm, starved", partial(normed, nn.LayerNorm, 1e-3), frozenset({"F07"}), frozenset({"B01", "B02"})),
    Case("batch norm, starved", partial(normed, nn.BatchNorm1d, 1e-3), frozenset({"F07"}), frozenset({"B01", "B02"})),
    Case("layer norm, fed", partial(normed, nn.LayerNorm, 1.0)),
    Case("batch norm, fed", partial(normed, nn.BatchNorm1d, 1.0)),
    Case(
        "relu, sixty layers of thirty-two",
        partial(narrow, 60, 32),
        frozenset({"F08"}),
        frozenset({"F01", "F02", "B01", "B02", "U03"}),
    ),
    Case("relu, ten layers of thirty-two", partial(narrow, 10, 32)),
)
