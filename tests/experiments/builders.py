"""Nets that tests hand to `fanin.compare` in other processes; `FANIN_TEST_*` makes them misbehave."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import nn

from fanin.experiments.data import Data


def small(data: Data, width: int = 8, slope: float = 0.0) -> nn.Module:
    """Two layers."""
    middle = nn.LeakyReLU(slope) if slope else nn.ReLU()
    return nn.Sequential(nn.Linear(data.inputs.shape[1], width), middle, nn.Linear(width, data.outputs))


def with_dropout(data: Data) -> nn.Module:
    """What torch.func does not stack."""
    return nn.Sequential(nn.Linear(data.inputs.shape[1], 8), nn.Dropout(0.2), nn.Linear(8, data.outputs))


def with_batch_norm(data: Data) -> nn.Module:
    """Buffers that training moves."""
    return nn.Sequential(nn.Linear(data.inputs.shape[1], 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, data.outputs))


def wrong_shape(data: Data) -> nn.Module:
    """One class too few."""
    return nn.Linear(data.inputs.shape[1], data.outputs - 1)


def raising(_: Data) -> nn.Module:
    """Never gets there."""
    raise RuntimeError("no such file")


class Fragile(nn.Module):
    """Raises once weights are large: in some trials, not in others."""

    def __init__(self, data: Data) -> None:
        super().__init__()
        self.readout = nn.Linear(data.inputs.shape[1], data.outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As a line of the user's own that checks its input."""
        out: torch.Tensor = self.readout(x)
        if not torch._C._functorch.is_batchedtensor(out) and out.abs().max() > 50:
            raise ValueError("too large")
        return out


class Deadly(nn.Module):
    """Kills its process in training: once, or at every try."""

    def __init__(self, data: Data) -> None:
        super().__init__()
        self.readout = nn.Linear(data.inputs.shape[1], data.outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """In training only, and in a worker only."""
        mark = Path(os.environ["FANIN_TEST_DEATHS"])
        if self.training and len(x) > 2 and os.environ.get("FANIN_TEST_PARENT") != str(os.getpid()):
            left = int(mark.read_text())
            if left:
                mark.write_text(str(left - 1))
                os.kill(os.getpid(), 9)
        out: torch.Tensor = self.readout(x)
        return out
