"""Nets that run along time: Elman's RNN, LSTM, GRU, and Mamba (Gu & Dao 2023) with its scan written as a loop."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .architecture import FOR_SCANS, Architecture, noise, normal_everywhere, tokens

WIDTH, LENGTH, VOCABULARY = 128, 16, 512
STATES, KERNEL, RANK = 16, 4, 8


class Recurrent(nn.Module):
    """Two layers and a head for every time, started as torch does: uniform ±1/√width."""

    def __init__(self, kind: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.recurrent, self.head = kind(WIDTH, WIDTH, 2, batch_first=True), nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.recurrent(x)
        return self.head(hidden)


class MambaBlock(nn.Module):
    def __init__(self, inner: int = 2 * WIDTH) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(WIDTH, eps=1e-5)
        self.enter, self.leave = nn.Linear(WIDTH, 2 * inner, bias=False), nn.Linear(inner, WIDTH, bias=False)
        self.conv = nn.Conv1d(inner, inner, KERNEL, padding=KERNEL - 1, groups=inner)
        self.select, self.step = nn.Linear(inner, RANK + 2 * STATES, bias=False), nn.Linear(RANK, inner)
        self.log_decay = nn.Parameter(torch.arange(1.0, STATES + 1).log().repeat(inner, 1))
        self.skip = nn.Parameter(torch.ones(inner))

    @torch.no_grad()
    def start(self, depth: int) -> None:
        """Steps of 0.001 to 0.1; the layer before the residual sum divided by √depth."""
        nn.init.uniform_(self.step.weight, -(RANK**-0.5), RANK**-0.5)
        steps = torch.exp(torch.empty_like(self.step.bias).uniform_(math.log(0.001), math.log(0.1)))
        self.step.bias.copy_(steps + torch.log(-torch.expm1(-steps)))  # softplus of it is the step
        nn.init.kaiming_uniform_(self.leave.weight, a=math.sqrt(5))
        self.leave.weight /= math.sqrt(depth)

    def forward(self, x: Tensor) -> Tensor:
        u, gate = self.enter(self.norm(x)).chunk(2, -1)
        u = F.silu(self.conv(u.transpose(1, 2))[..., :LENGTH].transpose(1, 2))
        return x + self.leave(self.scan(u) * F.silu(gate))

    def scan(self, u: Tensor) -> Tensor:
        """h ← e^{Δ A} h + Δ B u, y = C h + D u, time by time."""
        low, b, c = self.select(u).split((RANK, STATES, STATES), -1)
        step = F.softplus(self.step(low))[..., None]
        decay = torch.exp(-step * self.log_decay.exp())
        drive = step * b[:, :, None, :] * u[..., None]
        h = torch.zeros_like(drive[:, 0])
        outs = []
        for t in range(LENGTH):
            h = decay[:, t] * h + drive[:, t]
            outs.append((h * c[:, t, None, :]).sum(-1))
        return torch.stack(outs, 1) + self.skip * u


class Mamba(nn.Module):
    def __init__(self, depth: int = 4) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks = nn.ModuleList(MambaBlock() for _ in range(depth))
        self.norm = nn.RMSNorm(WIDTH, eps=1e-5)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.head.weight = self.tokens.weight
        normal_everywhere(self)
        for block in self.blocks:
            block.start(depth)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def _recurrent(name: str, kind: Callable[..., nn.Module]) -> Architecture:
    return Architecture(name, "recurrent", lambda: Recurrent(kind), noise(8, LENGTH, WIDTH), normalised=False)


ENTRIES = (
    _recurrent("rnn", nn.RNN),
    _recurrent("lstm", nn.LSTM),
    _recurrent("gru", nn.GRU),
    Architecture("mamba", "state space", Mamba, tokens(4, LENGTH, VOCABULARY), most_seeds=FOR_SCANS),
)
