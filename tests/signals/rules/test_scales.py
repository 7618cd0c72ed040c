"""Gradients of the scales of batch norms in front of an activation, against what is measured over many draws."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import fanin

DRAWS, CHANNELS = 48, 64


@pytest.fixture(scope="module", params=[nn.ReLU, nn.SiLU, nn.Tanh], ids=lambda kind: kind.__name__)
def activation(request: pytest.FixtureRequest) -> type[nn.Module]:
    found: type[nn.Module] = request.param
    return found


@pytest.fixture(scope="module")
def ratios(activation: type[nn.Module]) -> dict[str, float]:
    """Predicted over measured: another norm stands behind the first scale, a mean over the map behind the last."""
    net = nn.Sequential(
        nn.Conv2d(16, CHANNELS, 3, padding=1, bias=False),
        nn.BatchNorm2d(CHANNELS),
        activation(),
        nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False),
        nn.BatchNorm2d(CHANNELS),
        activation(),
        nn.AdaptiveAvgPool2d(1),
    )
    x = torch.randn(8, 16, 12, 12, generator=torch.Generator().manual_seed(0))
    plan = fanin.plan(net, x, recipe="he")
    comparison = fanin.predict(net, x, plan=plan).compare(fanin.measure(net, x, plan=plan, seeds=range(DRAWS)))
    rows = (*comparison.rows, *comparison.parameters)
    return {row.name: row.gradient.ratio for row in rows if row.gradient}


def test_a_scale_behind_which_another_norm_stands_gets_what_varies_of_its_activation(ratios: dict[str, float]) -> None:
    """Σ δ is 0 behind the activation, so that of φ'(z) z only what differs from its mean counts.

    48 draws of 64 scales each, which scatter by √2: 5 · √(2/(48 · 64)) = 13 %. The mutant: 1.5 (ReLU), 4.6 (tanh).
    """
    assert ratios["1.weight"] == pytest.approx(1, rel=0.13)


def test_a_scale_in_front_of_a_mean_over_the_map_gets_the_mean_of_its_activation(ratios: dict[str, float]) -> None:
    """There δ is alike at all positions, and E φ'(z) z adds up. The mutant has not a tenth of it for ReLU."""
    assert ratios["4.weight"] == pytest.approx(1, rel=0.13)


def test_what_a_norm_takes_of_a_gradient_is_what_its_scale_gets(ratios: dict[str, float]) -> None:
    """δ loses x̂ mean(δ x̂), 5 % of it in front of a mean over the map. The mutant takes δ and x̂ for independent: 1.07.

    From one gradient to the next, which have their draws in common.
    """
    behind = ratios["_native_batch_norm_legit_functional_1"]
    assert ratios["conv2d_1"] / behind == pytest.approx(1, rel=0.025)
