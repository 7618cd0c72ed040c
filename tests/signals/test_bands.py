"""Bands: where single draws of the weights lie, and not only their mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import fanin
from fanin.signals.bands import TENTH, band_of
from fanin.testing import std_tolerance

WIDTH, DEPTH, SEEDS = 64, 16, 40


def relu_net() -> nn.Sequential:
    return nn.Sequential(*[m for _ in range(DEPTH) for m in (nn.Linear(WIDTH, WIDTH, bias=False), nn.ReLU())])


def second_moments(net: nn.Module, x: torch.Tensor, plan: fanin.Plan, seeds: int) -> list[float]:
    """E y² of the output, for each draw of the weights."""
    found = []
    for seed in range(seeds):
        fanin.initialize_(net, recipe=plan, seed=seed)
        with torch.no_grad():
            found.append(float(net(x).square().mean()))
    return found


def test_eight_in_ten_of_a_log_normal_lie_in_the_band() -> None:
    rng = np.random.default_rng(0)
    n, variance = 200_000, 0.7
    draws = np.exp(rng.normal(-variance / 2, math.sqrt(variance), n))  # of mean 1
    low, high = band_of(1.0, variance)
    inside = float(((draws > low) & (draws < high)).mean())
    assert inside == pytest.approx(0.8, abs=6 * math.sqrt(0.16 / n) + 1e-3)  # the engine's own 2 % is in the band


def test_a_width_of_the_band_is_that_of_many_draws_of_a_deep_net() -> None:
    """Hanin & Nica 2020: Var log q grows by 5/n a layer of ReLU. The mutant's band lacks it: ten times too narrow."""
    net, x = relu_net(), torch.randn(1, WIDTH)
    plan = fanin.plan(net, x, recipe="he")
    band = fanin.predict(net, x, plan=plan).values["relu_15"].band
    assert band is not None
    predicted = math.log(band[1] / band[0]) / (2 * TENTH)
    measured = float(np.std(np.log(second_moments(net, x, plan, seeds=SEEDS)), ddof=1))
    assert predicted == pytest.approx(measured, rel=std_tolerance(SEEDS, sigmas=4))
    assert predicted**2 == pytest.approx(5 * DEPTH / WIDTH, rel=0.1)


def test_a_gradient_whose_square_is_below_the_smallest_float_keeps_a_band() -> None:
    """Eight weights of std 0.001 and ReLU leave 4e-6 of E δ² in each layer, and 1e-270 in the end; biases feed E x²."""
    layers = [m for _ in range(50) for m in (nn.Linear(8, 8), nn.ReLU())]
    model, x = nn.Sequential(*layers), torch.randn(8, 8)
    plan = fanin.plan(model, x, recipe="normal(std=0.001)", overrides={"*.bias": "normal(std=1)"})
    gradients = fanin.predict(model, x, plan=plan).gradients
    faint = [m for m in gradients.values() if 0 < m.second_moment < 1e-170]
    assert faint
    assert all(m.band is not None and m.band[0] < m.band[1] for m in faint)


def test_the_band_of_a_net_that_its_biases_feed_does_not_drift_away_with_depth() -> None:
    """PyTorch's start with ReLU: what the first layers were drawn as is forgotten, and most draws lie in the band.

    Of 20 that each lie in it with probability 0.8, fewer than 10 in do so once in 2,500. Mutant: all of E z² moves.
    """
    net = nn.Sequential(*[m for _ in range(80) for m in (nn.Linear(16, 16), nn.ReLU())])
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((16, 16), dtype=np.float32))
    plan = fanin.plan(net, x, recipe="torch_default")
    band = fanin.predict(net, x, plan=plan).values["relu_79"].band
    assert band is not None
    draws = second_moments(net, x, plan, seeds=20)
    assert sum(band[0] <= q <= band[1] for q in draws) >= 10


def test_a_value_whose_fourth_moment_is_below_the_smallest_float_keeps_a_band() -> None:
    """50 layers that divide by 400 each: q² of the 31st is 0 as a float64, and nothing was left to divide by."""
    net = nn.Sequential(*[m for _ in range(50) for m in (nn.Linear(8, 8), nn.ReLU())])
    x = torch.randn(4, 8)
    found = fanin.predict(net, x, plan=fanin.plan(net, x, recipe="normal(std=0.001)"))
    for moments in found.values.values():
        assert moments.second_moment > 0
        assert moments.band is not None
        assert moments.band[0] <= moments.second_moment
