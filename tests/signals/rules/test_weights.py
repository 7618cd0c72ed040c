"""Weights that are computed from parameters have the law of those that are really computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from fanin.frameworks.torch import trace
from fanin.frameworks.torch.measuring.observe import observe
from fanin.frameworks.torch.predicting.predict import predict


class Scaled(nn.Linear):
    """Equalised learning rate: the weight is N(0, 1), times a constant."""

    def forward(self, x: Any) -> Any:
        return F.linear(x, self.weight * 0.3, self.bias)


class Standardised(nn.Linear):
    """Weight standardisation: each row of zero mean and variance 1/fan-in."""

    def forward(self, x: Any) -> Any:
        centred = self.weight - self.weight.mean(1, keepdim=True)
        return F.linear(x, centred / (self.weight.std(1, keepdim=True) * self.in_features**0.5), self.bias)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "scaled": lambda: Scaled(128, 64),
    "standardised": lambda: Standardised(128, 64),
    "weight norm": lambda: parametrizations.weight_norm(nn.Linear(128, 64)),
}


@pytest.mark.parametrize("name", MODELS)
def test_moments_are_those_of_a_run(name: str) -> None:
    torch.manual_seed(0)
    model, x = MODELS[name](), torch.randn(64, 128)
    traced = trace(model, x)
    predicted, measured = predict(traced, model, (x,)), observe(traced, model, (x,))
    assert not predicted.sampled
    output = next(node.name for node in traced.graph.nodes if node.op == "linear")
    # 64 × 64 products of 128 terms: 10 % is 4.5 standard errors
    assert predicted.values[output].second_moment == pytest.approx(measured.values[output].second_moment, rel=0.1)
    for of, parameter in measured.parameters.items():
        gradient = predicted.parameters[of].gradient
        assert gradient is not None
        assert parameter.gradient is not None
        assert gradient.second_moment == pytest.approx(parameter.gradient.second_moment, rel=0.6)
