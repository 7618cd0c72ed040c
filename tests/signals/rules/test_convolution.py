"""The rules of `fanin.signals.rules.convolution`, against the operations themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fanin.signals.axes import Kind
from fanin.signals.rules import RULES, convolution
from fanin.testing.signals import BrokenRule, Drawn, RuleCase, assert_rules_hold

S, P, C = Kind.SAMPLE, Kind.POSITION, Kind.FEATURE


def case(name: str, function: Callable[..., Any], *inputs: Drawn, **options: Any) -> RuleCase:
    return RuleCase(name, function, inputs, **options)


def standardised(x: Any, w: Any) -> Any:
    """Each unit's weights add up to 0, but not those of its taps that are inside at a border."""
    variance = w.var((1, 2, 3), correction=0, keepdim=True)
    return F.conv2d(x, (w - w.mean((1, 2, 3), keepdim=True)) * torch.rsqrt(variance * 144), padding=1)


IMAGE = Drawn((3, 16, 6, 6), (S, C, P, P))
BRIGHT = Drawn((3, 16, 6, 6), (S, C, P, P), through=lambda x: np.maximum(x, 0.0) + 0.5)
LINE = Drawn((4, 16, 12), (S, C, P))
CASES = [
    case("conv", partial(F.conv2d, padding=1), IMAGE, weights=((8, 16, 3, 3), (8,)), error=0.04),
    case("conv of stride 2", partial(F.conv2d, stride=2, padding=1), IMAGE, weights=((8, 16, 3, 3),), error=0.04),
    case("patches", partial(F.conv2d, stride=3), IMAGE, weights=((8, 16, 3, 3),), error=0.04),
    case("grouped", partial(F.conv2d, padding=1, groups=4), IMAGE, weights=((16, 4, 3, 3),), error=0.04),
    case("depthwise", partial(F.conv2d, padding=1, groups=16), IMAGE, weights=((16, 1, 3, 3),), error=0.04),
    case("dilated", partial(F.conv2d, padding=2, dilation=2), IMAGE, weights=((8, 16, 3, 3),), error=0.04),
    case("conv1d", partial(F.conv1d, padding="same"), LINE, weights=((8, 16, 3),), error=0.04),
    # back, what borders leave of the mean is left out, which is much where δ is as alike as here
    case("standardised", standardised, BRIGHT, weights=((64, 16, 3, 3),), error=0.04, back_error=1.2),
    case("transposed", partial(F.conv_transpose2d, stride=2, padding=1), IMAGE, weights=((16, 8, 4, 4),), error=0.04),
]


def test_moments_are_those_of_the_operations() -> None:
    assert_rules_hold(CASES, RULES)


def test_a_mean_is_not_all_lost_at_a_border(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: weights that add up to 0 take the whole mean away, wherever the kernel lies."""
    one = [case for case in CASES if case.name == "standardised"]
    assert_rules_hold(one, RULES)
    monkeypatch.setattr(convolution, "_gone", lambda *_: (9.0, 9.0, 9.0))
    with pytest.raises(BrokenRule, match="standardised: y0"):
        assert_rules_hold(one, RULES)
