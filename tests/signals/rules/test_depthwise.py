"""Kernels that sum each feature by itself, between norms and SiLU, on maps hardly larger than they are.

Against what is measured over 48 draws, whose means of second moments are known to some 3 % here.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import fanin
from fanin.signals import Comparison

CHANNELS, DRAWS = 64, 48


class Depthwise(nn.Sequential):
    """SiLU behind a norm, a kernel of each feature by itself, the same again."""

    def __init__(self, kernel: int, *, pooled: bool) -> None:
        super().__init__(
            nn.Conv2d(32, CHANNELS, 1, bias=False),
            nn.BatchNorm2d(CHANNELS),
            nn.SiLU(),
            nn.Conv2d(CHANNELS, CHANNELS, kernel, padding=kernel // 2, groups=CHANNELS, bias=False),
            nn.BatchNorm2d(CHANNELS),
            nn.SiLU(),
            *([nn.AdaptiveAvgPool2d(1)] if pooled else []),
        )


def compared(kernel: int, size: int, *, pooled: bool) -> Comparison:
    net = Depthwise(kernel, pooled=pooled)
    x: Tensor = torch.randn(8, 32, size, size, generator=torch.Generator().manual_seed(0))
    plan = fanin.plan(net, x, recipe="he")
    return fanin.predict(net, x, plan=plan).compare(fanin.measure(net, x, plan=plan, seeds=range(DRAWS)))


@pytest.mark.parametrize(("kernel", "size"), [(5, 2), (5, 4), (3, 8)])
def test_what_a_norm_leaves_of_the_gradients_of_a_scale_and_a_shift_in_front(kernel: int, size: int) -> None:
    """Σ δ is 0 behind the kernel, and in front but for taps that miss some positions; Σ δ x is 0 in both places.

    Mutants: no tap misses any (shifts at 0.3 on the smallest map); δ is orthogonal to x beside its own dependence on x
    (scales at 1.6).
    """
    comparison = compared(kernel, size, pooled=False)
    ratio = {row.name: row.gradient.ratio for row in comparison.parameters if row.gradient}
    assert ratio["1.weight"] == pytest.approx(1, rel=0.12)
    assert ratio["1.bias"] == pytest.approx(1, rel=0.25)


@pytest.mark.parametrize(("kernel", "size"), [(3, 4), (5, 2), (5, 8)])
def test_positions_that_read_the_same_inputs_are_large_together(kernel: int, size: int) -> None:
    """By taps of independent signs: no correlation, and yet φ of both is more alike. Seen in the mean over the map.

    Mutant: all that two positions have in common is their correlation (0.9 on the smallest map).
    """
    comparison = compared(kernel, size, pooled=True)
    pooled = next(row.value for row in comparison.rows if row.name.startswith(("mean", "adaptive_avg_pool")))
    assert pooled is not None
    assert pooled.ratio == pytest.approx(1, rel=0.05)
