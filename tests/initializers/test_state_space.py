"""Decays and step sizes of state-space models, against their formulas in another library's arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fanin.errors import BadInput
from fanin.initializers import S4DReal, StepBias, Target
from fanin.testing import assert_law_is_measured, ks_tolerance


def test_decays_are_minus_one_to_minus_n() -> None:
    a = S4DReal().draw(Target("A_log", (5, 16), "float64"), seed=0).reshape(5, 16)
    assert -np.exp(a) == pytest.approx(np.tile(-np.arange(1.0, 17.0), (5, 1)), rel=1e-14)  # mutant: 0 … N − 1


def test_a_state_needs_an_axis() -> None:
    with pytest.raises(BadInput, match="needs an axis of states; 'a' is a scalar"):
        S4DReal().law(Target("a", ()))


@pytest.mark.parametrize(("low", "high"), [(1e-3, 1e-1), (1e-4, 1.0), (0.5, 0.6)])
def test_the_logarithm_of_a_step_is_uniform(low: float, high: float) -> None:
    what, target = StepBias(low, high), Target("dt_proj.bias", (20_000,), "float64")
    assert_law_is_measured(what, target)
    steps = np.sort(np.logaddexp(0.0, what.draw(target, seed=1)))  # mutant: the steps are uniform, not their logarithms
    u = (np.log(steps) - math.log(low)) / (math.log(high) - math.log(low))
    n = len(u)
    distance = max(np.abs(u - np.arange(n) / n).max(), np.abs(u - np.arange(1, n + 1) / n).max())
    assert distance <= ks_tolerance(n)


@pytest.mark.parametrize(("low", "high"), [(0, 0.1), (0.1, 0.1), (0.1, 2.0), (math.nan, 0.1)])
def test_steps_that_are_none_are_refused(low: float, high: float) -> None:
    with pytest.raises(BadInput, match="expected step sizes 0 < low < high ≤ 1; got low="):
        StepBias(low, high)
