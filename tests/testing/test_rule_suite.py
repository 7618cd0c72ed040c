"""The suite of rules passes what is right, and notices what is wrong; each mutant is a rule with one usual mistake."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fanin.signals.axes import Kind
from fanin.signals.propagate import Rule
from fanin.signals.rules import RULES
from fanin.signals.state import State
from fanin.signals.values import Call, Outcome
from fanin.testing.signals import BrokenRule, Drawn, RuleCase, assert_rules_hold

S, P, C = Kind.SAMPLE, Kind.POSITION, Kind.FEATURE
SEQUENCE = Drawn((4, 6, 16), (S, P, C))
RECTIFIED = Drawn((4, 6, 256), (S, P, C), through=lambda z: np.maximum(z, 0))
IMAGE = Drawn((3, 16, 6, 6), (S, C, P, P), alike=0.95)
LINEAR = RuleCase("linear", F.linear, (RECTIFIED,), weights=((64, 256),), draws=100)
POOL = RuleCase("max pool", lambda x: F.max_pool2d(x, 2), (IMAGE,), error=0.04)
MEAN = RuleCase("mean", lambda x: x.mean(1), (SEQUENCE,))


def by_variance(call: Call) -> Outcome:
    """A linear map of q − μ² where it is one of q."""
    x = call.state("input")
    centred = replace(x, second=x.variance, mean=0 * x.mean)
    return RULES["linear"](Call(call.node, {**call.values, "input": centred}, call.plain))


def without_covariances(op: str) -> Rule:
    """All positions and samples taken for independent."""

    def rule(call: Call) -> Outcome:
        outcome = RULES[op](call)
        (out, *further) = outcome.values
        assert isinstance(out, State)
        squared = out.mean**2
        forgetful = replace(out, across_positions=squared, across_samples=squared, latents=None)
        return Outcome((forgetful, *further), outcome.pull)

    return rule


def without_gradient(op: str) -> Rule:
    """What comes back is that of the result, as it is."""

    def rule(call: Call) -> Outcome:
        outcome = RULES[op](call)
        return Outcome(outcome.values, lambda gradients: iter([(call.first, gradients[0])]))

    return rule


MUTANTS: dict[str, tuple[RuleCase, dict[str, Any]]] = {
    "a weight sees the variance": (LINEAR, {"linear": by_variance}),
    "covariances are dropped": (LINEAR, {"linear": without_covariances("linear")}),
    "the gradient is not divided by n": (MEAN, {"mean": without_gradient("mean")}),
    "windows are independent": (POOL, {"max_pool2d": without_covariances("max_pool2d")}),
}


def test_right_rules_pass() -> None:
    assert_rules_hold([LINEAR, POOL, MEAN], RULES)


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_fail(name: str) -> None:
    case, mutant = MUTANTS[name]
    with pytest.raises(BrokenRule, match="predicted"):
        assert_rules_hold([case], {**RULES, **mutant}, seed=1)


def test_a_case_without_a_rule_is_named() -> None:
    with pytest.raises(BrokenRule, match="no rule"):
        assert_rules_hold([RuleCase("cumprod", lambda x: torch.cumprod(x, 1), (SEQUENCE,))], RULES)
