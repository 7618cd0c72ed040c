"""The rules of `fanin.signals.rules.pointwise`, against the operations themselves."""

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
WIDE = Drawn((4, 5, 32), (S, P, C))
DIVISOR = Drawn((4, 6, 16), (S, P, C), positive=True)
IMAGE = Drawn((3, 16, 6, 6), (S, C, P, P))
CASES = [
    case("add", lambda x, y: x + 0.5 * y, SEQUENCE, SEQUENCE),
    case("add to each", lambda x, y: x + y, SEQUENCE, Drawn((6, 16), (P, C))),
    case("multiply", torch.mul, SEQUENCE, SEQUENCE),
    case("gate", lambda x, y: x * y, IMAGE, Drawn((3, 16, 1, 1), (S, C, P, P))),
    case("scale", torch.mul, SEQUENCE, weights=((16,),)),
    case("divide", torch.div, SEQUENCE, DIVISOR),
    case("x sigmoid x", lambda x: x * torch.sigmoid(x), SEQUENCE),
    case("gelu", F.gelu, SEQUENCE),
    case("cube", lambda x: x**3, SEQUENCE, error=0.06),
    case("clamp", lambda x: x.clamp(-0.5, 1.0), SEQUENCE),
    case("exp", lambda x: torch.exp(0.5 * x), SEQUENCE, error=0.04),
    case("larger", torch.maximum, SEQUENCE, SEQUENCE, error=0.05),
    case("smaller", torch.minimum, SEQUENCE, SEQUENCE, error=0.05),
    case("larger of one latent", lambda x: torch.maximum(x, 0.3 * x), SEQUENCE),
    case("minus its mean", lambda x: x - x.mean(1, keepdim=True), WIDE),
]


def test_moments_are_those_of_the_operations() -> None:
    assert_rules_hold(CASES, RULES)
