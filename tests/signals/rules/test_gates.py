"""The rules of `fanin.signals.rules.gates`, against the operations themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from fanin.signals.axes import Kind
from fanin.signals.rules import RULES
from fanin.testing.signals import Drawn, RuleCase, assert_rules_hold

S, P, C = Kind.SAMPLE, Kind.POSITION, Kind.FEATURE


def case(name: str, function: Callable[..., Any], *inputs: Drawn, **options: Any) -> RuleCase:
    return RuleCase(name, function, inputs, **options)


SEQUENCE = Drawn((4, 6, 16), (S, P, C))
DIVISOR = Drawn((4, 6, 16), (S, P, C), positive=True)
MASK = (torch.arange(6)[:, None] + torch.arange(16)).remainder(3) == 0
CASES = [
    case("glu", F.glu, SEQUENCE, error=0.03),
    case("threshold", lambda x: F.threshold(x, 0.2, -0.3), SEQUENCE),
    case("where known", lambda x, y: torch.where(MASK, x, y), SEQUENCE, SEQUENCE),
    case("where positive", lambda x: torch.where(x > 0, x, 0.1 * x), SEQUENCE),
    case("masked", lambda x: x.masked_fill(MASK, 1.0), SEQUENCE),
    case("lerp", lambda x, y: x.lerp(y, 0.3), SEQUENCE, SEQUENCE),
    case("lerp by a gate", lambda x, y: x.lerp(y, torch.sigmoid(y)), SEQUENCE, SEQUENCE, error=0.05, back_error=0.3),
    case("addcmul", lambda x, y, z: torch.addcmul(x, y, z, value=0.5), SEQUENCE, SEQUENCE, SEQUENCE),
    case("addcdiv", lambda x, y, z: torch.addcdiv(x, y, z, value=0.5), SEQUENCE, SEQUENCE, DIVISOR),
    case("stochastic depth", lambda x: x * x.new_empty((4, 1, 1)).bernoulli_(0.7) / 0.7, SEQUENCE),
    case("noise", lambda x: x * torch.rand_like(x) + torch.randn_like(x) + torch.full_like(x, 0.5), SEQUENCE),
]


def test_moments_are_those_of_the_operations() -> None:
    assert_rules_hold(CASES, RULES)
