"""Attention within windows that are shifted: a bias by relative position, and a mask that the model fills in itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fanin.frameworks.torch import trace
from fanin.frameworks.torch.measuring.observe import observe
from fanin.frameworks.torch.predicting.predict import predict
from fanin.signals import Signals

WINDOW, WINDOWS, HEADS, WIDTH, BATCH, DRAWS = 8, 4, 4, 64, 4, 24
X = torch.randn(BATCH, WINDOW * WINDOWS, WIDTH, generator=torch.Generator().manual_seed(0))


class Shifted(nn.Module):
    """One layer; the indices of the relative positions are one list, as Swin keeps them."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.table = nn.Parameter(torch.randn(2 * WINDOW - 1, HEADS))
        at = torch.arange(WINDOW)
        self.register_buffer("relative", (at[:, None] - at + WINDOW - 1).reshape(-1))

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.roll(x, -WINDOW // 2, 1).reshape(BATCH * WINDOWS, WINDOW, WIDTH)
        parts = self.qkv(seen).reshape(-1, WINDOW, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        q, k, v = parts[0], parts[1], parts[2]
        bias = self.table[self.get_buffer("relative")].reshape(WINDOW, WINDOW, HEADS).permute(2, 0, 1)
        scores = q @ k.transpose(-2, -1) / (WIDTH // HEADS) ** 0.5 + bias.unsqueeze(0)
        region = x.new_zeros(WINDOW * WINDOWS)
        region[-WINDOW // 2 :] = 1.0  # what the shift has brought next to the others' end
        region = region.reshape(WINDOWS, WINDOW)
        apart = region[:, None] - region[:, :, None]
        mask = apart.masked_fill(apart != 0, -100.0).reshape(1, WINDOWS, 1, WINDOW, WINDOW)
        scores = (scores.reshape(BATCH, WINDOWS, HEADS, WINDOW, WINDOW) + mask).reshape(scores.shape)
        attended = (torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(x.shape)
        return torch.as_tensor(self.out(torch.roll(attended, WINDOW // 2, 1)))


@pytest.fixture(scope="module")
def found() -> tuple[Signals, dict[str, float], dict[str, float]]:
    """What is predicted, and the mean over draws of what is measured."""
    torch.manual_seed(0)
    traced = trace(Shifted(), X)
    values: dict[str, list[float]] = {}
    gradients: dict[str, list[float]] = {}
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        model = Shifted()
        seen = observe(traced, model, (X,))
        for kept, moments in ((values, seen.values), (gradients, seen.gradients)):
            for name, one in moments.items():
                kept.setdefault(name, []).append(one.second_moment)
    means: Callable[[dict[str, list[float]]], dict[str, float]] = lambda kept: {  # noqa: E731
        name: float(np.mean(each)) for name, each in kept.items()
    }
    return predict(traced, model, (X,)), means(values), means(gradients)


def test_a_mask_that_is_filled_in_is_known(found: tuple[Signals, dict[str, float], dict[str, float]]) -> None:
    """A softmax over half as many keys is twice as large; of 24 draws the mean is within a tenth."""
    predicted, values, _ = found
    assert not predicted.sampled
    for name in ("softmax", "matmul_1"):
        assert predicted.values[name].second_moment == pytest.approx(values[name], rel=0.15), name


def test_what_comes_back_to_a_bias_by_relative_position(
    found: tuple[Signals, dict[str, float], dict[str, float]],
) -> None:
    """A list of the model's own indices counts positions: no sum of squares is taken for one of covariances."""
    predicted, _, gradients = found
    assert all(moments.second_moment >= 0 for moments in predicted.gradients.values())
    assert predicted.gradients["index"].second_moment == pytest.approx(gradients["index"], rel=0.5)
