"""The rules of views, repeats, pieces and concatenation, against the operations themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from fanin.signals.axes import Kind
from fanin.signals.rules import RULES
from fanin.testing.signals import Drawn, RuleCase, assert_rules_hold

S, P, C = Kind.SAMPLE, Kind.POSITION, Kind.FEATURE


def case(name: str, function: Callable[..., Any], *inputs: Drawn, **options: Any) -> RuleCase:
    return RuleCase(name, function, inputs, **options)


SEQUENCE = Drawn((4, 6, 16), (S, P, C))
SEGMENTS = Drawn((4, 6, 16), (S, P, C), segments=(4, 12))
IMAGE = Drawn((3, 16, 6, 6), (S, C, P, P))
CASES = [
    case("view", lambda x: x.view(24, 4, 4).transpose(1, 2).reshape(4, 6, 16), SEQUENCE),
    case("heads", lambda x: x.view(4, 6, 4, 4).transpose(1, 2), SEQUENCE),
    case("channels last", lambda x: x.permute(0, 2, 3, 1), IMAGE),
    case("expand", lambda x: x.expand(4, 6, 16), Drawn((4, 1, 16), (S, P, C))),
    case("slice", lambda x: 2 * x[:, 1:3], SEQUENCE),
    case("select", lambda x: x[:, 0], SEQUENCE),
    case("slice of features", lambda x: x[..., :4], SEGMENTS),
    case("halves", lambda x: torch.add(*x.chunk(2, -1)), SEQUENCE),
    case("cat of features", lambda x, y: torch.cat([x, y], -1), SEQUENCE, SEQUENCE),
    case("cat of positions", lambda x, y: torch.cat([x, y], 1), SEQUENCE, SEQUENCE),
    case("cat of samples", lambda x, y: torch.cat([x, y], 0), SEQUENCE, SEQUENCE),
    case("stack", lambda x, y: torch.stack([x, y], 1).sum(1), SEQUENCE, SEQUENCE),
]


def test_moments_are_those_of_the_operations() -> None:
    assert_rules_hold(CASES, RULES)
