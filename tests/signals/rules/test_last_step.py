"""A recurrent layer that is read at its last step: gradients of its biases add up over samples, as measured ones do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fanin
from fanin.signals.rules.smaller_layer import _over_samples

KINDS = (nn.LSTM, nn.GRU, nn.RNN)


class ReadAtTheEnd(nn.Module):
    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.layers = kind(32, 48, 2, batch_first=True)
        self.head = nn.Linear(48, 5)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.layers(x)[0][:, -1])
        return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_gradients_of_biases_behind_many_samples_are_within_a_factor_of_three(kind: Any) -> None:
    """Before, 500 times too small in a batch of 256: what 256 samples have in common was lost with the other steps."""
    torch.manual_seed(0)
    model, x = ReadAtTheEnd(kind), torch.randn(256, 12, 32)
    plan = fanin.plan(model, x)
    predicted = fanin.predict(model, x, plan=plan).parameters
    measured = fanin.measure(model, x, plan=plan, seeds=range(4)).parameters
    for path in ("layers.bias_ih_l0", "layers.bias_hh_l0", "layers.bias_ih_l1", "layers.bias_hh_l1"):
        found, exact = (seen[path].gradient.second_moment for seen in (predicted, measured))  # type: ignore[union-attr]
        assert 1 / 3 < found / exact < 3, path


def test_what_cannot_be_told_from_chance_does_not_count_a_square_of_times() -> None:
    """8 independent samples of 200 units, for 1,000: E (Σ)² is 1,000 times E g², whatever pairs look like by chance."""
    random = np.random.default_rng(0)
    for _ in range(20):
        draws = [random.standard_normal((8, 200)) for _ in range(4)]
        assert _over_samples(draws, 1000) == pytest.approx(1000, rel=0.1)
    alike = [random.standard_normal((1, 200)) + random.standard_normal((8, 200)) for _ in range(4)]
    assert _over_samples(alike, 1000) == pytest.approx(1000 * 2 + 1000 * 999, rel=0.25)
