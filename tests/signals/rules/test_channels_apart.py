"""Depthwise convolutions: over channels, each with few weights and a bias of its own, an output is no Gaussian."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fanin

CHANNELS, LENGTH, TAPS = 64, 32, 4


class Short(nn.Sequential):
    """A kernel of each channel by itself, and what bends what it makes."""

    def __init__(self) -> None:
        super().__init__(nn.Conv1d(CHANNELS, CHANNELS, TAPS, groups=CHANNELS), nn.SiLU())


def exact(size: float, tap: float, bias: float) -> float:
    """E silu(Σ w x + b)² over many channels; x ~ N(0, size²), w and b even on ± their bounds."""
    random = np.random.default_rng(0)
    n = 1 << 21
    sizes = size * np.sqrt((random.uniform(-tap, tap, (TAPS, n)) ** 2).sum(0))
    y = sizes * random.standard_normal(n) + random.uniform(-bias, bias, n)
    return float(np.mean((y / (1 + np.exp(-y))) ** 2))


@pytest.mark.parametrize(("tap", "bias"), [(0.1, 1.0), (1.5, 0.1), (1.0, 1.0)])
def test_what_bends_a_depthwise_convolution_sees_how_channels_differ(tap: float, bias: float) -> None:
    """A bias that is even has short tails, few taps have long ones. Mutant: a Gaussian of the same variance."""
    net, x = Short(), torch.randn(8, CHANNELS, LENGTH, generator=torch.Generator().manual_seed(0))
    x = x / x.square().mean().sqrt()
    start = {"0.weight": fanin.Uniform(-tap, tap), "0.bias": fanin.Uniform(-bias, bias)}
    found = fanin.predict(net, x, plan=fanin.plan(net, x, overrides=start)).values["silu"].second_moment
    assert found == pytest.approx(exact(1.0, tap, bias), rel=0.01)


def test_a_batch_norm_takes_away_how_channels_differ_in_scale() -> None:
    """Behind it each is a Gaussian of the same variance, whatever its taps and its bias."""
    net = nn.Sequential(nn.Conv1d(CHANNELS, CHANNELS, TAPS, groups=CHANNELS), nn.BatchNorm1d(CHANNELS), nn.SiLU())
    x: Tensor = torch.randn(64, CHANNELS, LENGTH, generator=torch.Generator().manual_seed(0))
    start = {"0.weight": fanin.Uniform(-1, 1), "0.bias": fanin.Uniform(-3, 3)}
    plan = fanin.plan(net, x, overrides=start)
    found = fanin.predict(net, x, plan=plan).values["silu"].second_moment
    assert found == pytest.approx(0.355776, rel=0.01)  # E silu(z)² of a standard normal z
