"""The rules of `fanin.signals.rules.linear`, against the operations themselves."""

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
SEGMENTS = Drawn((4, 6, 16), (S, P, C), segments=(4, 12))
VECTOR = Drawn((8, 16), (S, C))
IMAGE = Drawn((3, 16, 6, 6), (S, C, P, P))
CASES = [
    case("linear", F.linear, SEQUENCE, weights=((24, 16), (24,))),
    case("linear of segments", F.linear, SEGMENTS, weights=((24, 16),)),
    case("linear of vectors", F.linear, VECTOR, weights=((24, 16), (24,))),
    case("linear of a map", lambda x, w: F.linear(x.flatten(1), w), IMAGE, weights=((16, 576),)),
    case("matmul", torch.matmul, SEQUENCE, weights=((16, 24),)),
    case("over positions", lambda x, w: F.linear(x.transpose(1, 2), w), SEQUENCE, weights=((10, 6),)),
]


def test_moments_are_those_of_the_operations() -> None:
    assert_rules_hold(CASES, RULES)
