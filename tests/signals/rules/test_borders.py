"""What borders leave of a signal in a deep net, against what is measured over many draws: maps of 4 × 4.

Of 48 draws with 64 features each a mean square is known to 5 · √(2/(48 · 64)) = 13 % at most; its shape over positions,
which decides here, scatters less, as all have the same weights.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

import fanin
from fanin.signals import Comparison

DRAWS, CHANNELS = 48, 64


def normed(convolution: nn.Module) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(CHANNELS), nn.ReLU()]


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Kernels of three taps and of one in turn, as bottlenecks have them."""
    c = CHANNELS
    layers = [normed(nn.Conv2d(c, c, kernel, padding=kernel // 2, bias=False)) for kernel in (3, 1, 3, 1, 3, 1, 3)]
    net = nn.Sequential(*(m for block in layers for m in block))
    x = torch.randn(8, c, 4, 4, generator=torch.Generator().manual_seed(0))
    plan = fanin.plan(net, x, recipe="he")
    return fanin.predict(net, x, plan=plan).compare(fanin.measure(net, x, plan=plan, seeds=range(DRAWS)))


@pytest.mark.parametrize("node", ["conv2d_2", "conv2d_4", "conv2d_6"])
def test_a_kernel_behind_one_of_one_tap_still_meets_less_at_the_border(comparison: Comparison, node: str) -> None:
    """A norm takes a mean away that is as small at the border as the signal is. The mutant flattens it: 0.94."""
    value = {row.name: row.value for row in comparison.rows}[node]
    assert value is not None
    assert value.ratio == pytest.approx(1, rel=0.03)
