from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fanin.frameworks.torch import trace
from fanin.frameworks.torch.measuring.observe import observe
from fanin.frameworks.torch.predicting.predict import predict
from fanin.signals.rules.embedding import Repeats

DRAWS = 200


def test_repeats_are_counted_over_pairs() -> None:
    ids = np.array([[1, 1, 2], [1, 3, 0]])
    found = Repeats.of(ids)
    assert found.positions == pytest.approx(2 / 12)  # of 6 ordered pairs in each sample
    assert found.samples == pytest.approx(4 / 18)
    assert Repeats.of(ids, padding=0).share == pytest.approx(5 / 6)


class Table(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(8, 256), nn.Embedding(6, 256)
        self.bag = nn.EmbeddingBag(8, 256, mode="mean")
        self.out = nn.Linear(256, 256)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        return torch.as_tensor(self.out(x.mean(1)) + self.bag(ids))


def test_values_and_gradients_of_tables() -> None:
    """A mean of 200 draws of a spread below 0.35 is within 5·0.35/√200 = 0.125."""
    ids = torch.tensor([[1, 1, 2, 1, 5, 1], [1, 3, 3, 3, 0, 1], [7, 7, 7, 7, 7, 7]])
    values: dict[str, list[float]] = {}
    gradients: dict[str, list[float]] = {}
    traced = trace(Table(), ids)
    for seed in range(DRAWS):
        torch.manual_seed(1000 + seed)
        model = Table()
        seen = observe(traced, model, (ids,))
        for name, moments in seen.values.items():
            values.setdefault(name, []).append(moments.second_moment)
        for path, parameter in seen.parameters.items():
            assert parameter.gradient is not None
            gradients.setdefault(path, []).append(parameter.gradient.second_moment)
    predicted = predict(traced, model, (ids,))
    assert not predicted.sampled
    for name in predicted.values.keys() & values.keys():
        assert predicted.values[name].second_moment == pytest.approx(np.mean(values[name]), rel=0.125)
    for path, seconds in gradients.items():
        gradient = predicted.parameters[path].gradient
        assert gradient is not None
        assert gradient.second_moment == pytest.approx(np.mean(seconds), rel=0.25), path  # the cotangent is one draw
