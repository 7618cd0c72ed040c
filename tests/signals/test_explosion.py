"""Batch norm, ReLU, linear: gradients grow by π/(π − 1) a layer, more for small batches (Yang et al. 2019)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from fanin.frameworks.torch import trace
from fanin.frameworks.torch.predicting.predict import predict

WIDTH, DEPTH = 256, 12


def growth(batch: int) -> float:
    layers = [
        nn.Sequential(nn.Linear(WIDTH, WIDTH, bias=False), nn.BatchNorm1d(WIDTH), nn.ReLU()) for _ in range(DEPTH)
    ]
    model, x = nn.Sequential(*layers), torch.randn(batch, WIDTH)
    signals = predict(trace(model, x), model, (x,))
    seen = [moments.second_moment for name, moments in signals.gradients.items() if name.startswith("relu")]
    return float((seen[2] / seen[-2]) ** (1 / (DEPTH - 4)))


# measured with 256 units: 1.457 at 512, 1.485 at 64, 1.605 at 16
@pytest.mark.parametrize(("batch", "rate"), [(4096, math.pi / (math.pi - 1)), (512, 1.457), (64, 1.485), (16, 1.605)])
def test_growth(batch: int, rate: float) -> None:
    assert growth(batch) == pytest.approx(rate, rel=1e-3 if batch == 4096 else 0.04)
