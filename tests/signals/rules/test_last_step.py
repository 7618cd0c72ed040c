"""A recurrent net that is read at its last step, against what is measured over draws of its weights.

A second moment is a mean over 48 units or more of 16 draws, which their biases make differ: 5 · √(2/(48 · 16)) = 25 %.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fanin
from fanin.signals import Comparison
from fanin.signals.gradient import GradientMoments
from fanin.signals.rules.smaller_layer import in_common

KINDS = (nn.LSTM, nn.GRU, nn.RNN)
DRAWS, STEPS = 16, 10


class ReadAtTheEnd(nn.Module):
    def __init__(self, kind: Any, *, both_ways: bool) -> None:
        super().__init__()
        self.layers = kind(32, 48, 2, batch_first=True, bidirectional=both_ways)
        self.head = nn.Linear(96 if both_ways else 48, 5)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.layers(x)[0][:, -1])
        return found


def added_up(output: Tensor) -> Tensor:
    return output.mean()


def compared(kind: Any, *, both_ways: bool = False, samples: int = 64, loss: Any = None) -> Comparison:
    torch.manual_seed(0)
    model, x = ReadAtTheEnd(kind, both_ways=both_ways), torch.randn(samples, STEPS, 32)
    plan = fanin.plan(model, x)
    measured = fanin.measure(model, x, plan=plan, seeds=range(DRAWS), loss=loss)
    return fanin.predict(model, x, plan=plan, loss=loss).compare(measured)


def ratios(comparison: Comparison) -> dict[str, float]:
    """Of all gradients of parameters."""
    return {row.name: row.gradient.ratio for row in comparison.parameters if row.gradient}


@pytest.fixture(scope="module", params=[False, True], ids=["one way", "both ways"])
def both_ways(request: pytest.FixtureRequest) -> bool:
    found: bool = request.param
    return found


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.__name__)
def comparison(request: pytest.FixtureRequest, both_ways: bool) -> Comparison:
    return compared(request.param, both_ways=both_ways)


def test_the_last_step_is_as_large_as_it_is(comparison: Comparison) -> None:
    """All steps are behind one way, and one the other. The mutant takes the average over steps: 0.6 and 1.4 of it."""
    rows = {row.name: row.value for row in comparison.rows}
    value = rows["select"]
    assert value is not None
    assert value.ratio == pytest.approx(1, rel=0.15)


def test_gradients_of_all_parameters_are_those_that_are_measured(comparison: Comparison) -> None:
    """Mutants: nobody knows at which step what comes back is; both directions have the same weights."""
    for path, ratio in ratios(comparison).items():
        assert ratio == pytest.approx(1, rel=0.25), path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_samples_have_in_common_adds_up(kind: Any) -> None:
    """The mean of all outputs sends the same to all samples. The mutant is 100 times too small in a batch of 256."""
    for path, ratio in ratios(compared(kind, samples=256, loss=added_up)).items():
        if "bias" in path:
            assert ratio == pytest.approx(1, rel=0.3), path


@pytest.mark.parametrize("common", [-0.001, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("of_steps", [0.0, 0.5])
def test_what_samples_have_in_common_is_known_however_little_it_is(common: float, of_steps: float) -> None:
    """δ_st = √c a_t + √(1 − c) b_st in closed form: pairs of samples have c of what they have if all are alike."""
    second, any_two = 2.0, 2.0 * (of_steps + (1 - of_steps) / STEPS)
    seen = GradientMoments(np.array([second]), np.array([second * of_steps]), np.array([common * any_two]))
    assert in_common(seen, STEPS) == pytest.approx(common)
