"""The rules of `fanin.signals.rules.dropout`, against the operations themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch.nn import functional as F

from fanin.signals.axes import Kind
from fanin.signals.rules import RULES
from fanin.testing.signals import Drawn, RuleCase, assert_rules_hold

S, P, C = Kind.SAMPLE, Kind.POSITION, Kind.FEATURE


def case(name: str, function: Callable[..., Any], *inputs: Drawn, **options: Any) -> RuleCase:
    return RuleCase(name, function, inputs, **options)


SEQUENCE = Drawn((4, 6, 16), (S, P, C))
CASES = [case("dropout", partial(F.dropout, p=0.3), SEQUENCE)]


def test_moments_are_those_of_the_operations() -> None:
    assert_rules_hold(CASES, RULES)
