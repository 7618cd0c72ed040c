"""The rules of `fanin.signals.rules.pooling`, against the operations themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from fanin.signals.axes import Kind
from fanin.signals.rules import RULES
from fanin.testing.signals import Drawn, RuleCase, assert_rules_hold

S, P, C = Kind.SAMPLE, Kind.POSITION, Kind.FEATURE


def case(name: str, function: Callable[..., Any], *inputs: Drawn, **options: Any) -> RuleCase:
    return RuleCase(name, function, inputs, **options)


IMAGE = Drawn((3, 16, 6, 6), (S, C, P, P))
LINE = Drawn((4, 16, 12), (S, C, P))
CASES = [
    case("average", partial(F.avg_pool2d, kernel_size=2), IMAGE),
    case("overlapping average", lambda x: F.avg_pool2d(x, 3, 2, 1), IMAGE),
    case("average without padding", lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), IMAGE),
    case("average of a line", lambda x: F.avg_pool1d(x, 4, 2), LINE),
    case("global average", lambda x: F.adaptive_avg_pool2d(x, 1), IMAGE),
    case("adaptive average", lambda x: F.adaptive_avg_pool2d(x, 4), IMAGE),
    case("largest", lambda x: F.max_pool2d(x, 2), IMAGE, error=0.04),
    case("overlapping", lambda x: F.max_pool2d(torch.relu(x), 3, 2, 1), IMAGE, error=0.04),
    case("everywhere", lambda x: F.max_pool2d(x, 3, 1, 1), IMAGE, error=0.04),
    case("of what falls and rises", lambda x: F.max_pool2d(F.gelu(x), 3, 2, 1), IMAGE, error=0.04),
    case("rectified after", lambda x: torch.relu(F.max_pool2d(x, 2)), IMAGE, error=0.04),
    case("of a line", lambda x: F.max_pool1d(x, 3, 2), LINE, error=0.04),
    case("global", lambda x: F.adaptive_max_pool2d(x, 1), IMAGE, error=0.04),
    case("adaptive", lambda x: F.adaptive_max_pool2d(x, 4), IMAGE, error=0.04),
]


def test_moments_are_those_of_the_operations() -> None:
    assert_rules_hold(CASES, RULES)
