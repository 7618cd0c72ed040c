"""The rules of `fanin.signals.rules.reduction`, against the operations themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from fanin.signals.axes import Kind
from fanin.signals.latent import Array
from fanin.signals.rules import RULES
from fanin.testing.signals import Drawn, RuleCase, assert_rules_hold

S, P, C = Kind.SAMPLE, Kind.POSITION, Kind.FEATURE


def rectified(z: Array) -> Array:
    return np.maximum(z, 0.0)


def case(name: str, function: Callable[..., Any], *inputs: Drawn, **options: Any) -> RuleCase:
    return RuleCase(name, function, inputs, **options)


WIDE = Drawn((4, 5, 32), (S, P, C))
WIDE_RELU = Drawn((4, 5, 32), (S, P, C), through=rectified)
SEGMENTS = Drawn((4, 6, 16), (S, P, C), segments=(4, 12))
CASES = [
    case("mean over features", lambda x: x.mean(-1, keepdim=True), WIDE),
    case("mean over positions", lambda x: x.mean(1), WIDE_RELU),
    case("mean over samples", lambda x: x.mean(0), WIDE),
    case("mean over all", lambda x: x.mean(), WIDE),
    case("mean over positions and features", lambda x: x.mean((1, 2)), WIDE),
    case("mean of segments", lambda x: x.mean(-1), SEGMENTS),
    case("mean of each head", lambda x: x.unflatten(2, (4, 8)).mean(-1), WIDE),
    case("sum over positions", lambda x: x.sum(1), WIDE),
    case("variance over features", lambda x: x.var(-1), WIDE, error=0.03),
    case("variance over positions", lambda x: x.var(1), WIDE, error=0.05),
    case("variance of what is rectified", lambda x: x.var((0, 1)), WIDE_RELU, error=0.3),  # features differ in theirs
    case("standard deviation", lambda x: x.std(-1), WIDE, error=0.03),
    case("variance and mean", lambda x: torch.var_mean(x, -1), WIDE, error=0.03),
    case("norm", lambda x: x.norm(dim=-1), WIDE, error=0.03),
    case("norm of order 1", lambda x: x.norm(p=1, dim=-1), WIDE, error=0.03),
    case("logsumexp", lambda x: x.logsumexp(-1), WIDE, error=0.05, back_error=0.15),
    case("largest feature", lambda x: x.amax(-1), WIDE, error=0.05),
    case("largest position", lambda x: x.max(1)[0], WIDE, error=0.05),
    case("largest of what is rectified", lambda x: torch.relu(x).amax(1), WIDE, error=0.05),
    case("largest of gelu", lambda x: F.gelu(x).amax(1), WIDE, error=0.05),
    case("smallest position", lambda x: x.amin(1), WIDE, error=0.05),
    case("running sum over positions", lambda x: x.cumsum(1), WIDE),
    case("running sum over features", lambda x: x.cumsum(2), WIDE),
]


def test_moments_are_those_of_the_operations() -> None:
    assert_rules_hold(CASES, RULES)
