"""The rules of `fanin.signals.rules.steady`: what an entry does beside a mean that it is part of."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import fanin

FEATURES, POSITIONS = 16, 6


def scaled_by_root(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-8)


def over_length(x: Tensor) -> Tensor:
    length = x.square().sum(-1, keepdim=True).sqrt()
    return math.sqrt(FEATURES) * x / length


class Normed(nn.Module):
    """Few features with heavy tails, and a norm of them that is written out."""

    def __init__(self, norm: Callable[[Tensor], Tensor], *, token: bool = False) -> None:
        super().__init__()
        self.enter, self.norm, self.token = nn.Linear(FEATURES, FEATURES, bias=False), norm, token

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x) ** 3
        if self.token:  # the first position is no position as the others are
            x = torch.cat([0.1 * x[:, :1], x[:, 1:]], 1)
        return self.norm(x)


@pytest.mark.parametrize("norm", [scaled_by_root, over_length])
@pytest.mark.parametrize("token", [False, True], ids=["alike", "with a token"])
def test_a_norm_that_is_written_out_leaves_one(norm: Callable[[Tensor], Tensor], token: bool) -> None:
    """Σ x²/mean x² over the features of a position is their number, whatever law x has and whatever draws differ in.

    Mutants: x and its own mean are independent, four times too much; draws that make a divisor large make 1/y large.
    """
    x = torch.randn(64, POSITIONS, FEATURES, generator=torch.Generator().manual_seed(0))
    found = fanin.predict(Normed(norm, token=token), x)
    last = list(found.values)[-1]
    assert found.values[last].second_moment == pytest.approx(1, abs=1e-3)
