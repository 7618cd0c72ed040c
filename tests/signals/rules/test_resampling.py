"""The rules of `fanin.signals.rules.resampling`, against the operations themselves."""

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


SEQUENCE = Drawn((4, 6, 16), (S, P, C))
IMAGE = Drawn((3, 16, 6, 6), (S, C, P, P))
CASES = [
    case("nearest", partial(F.interpolate, scale_factor=2), IMAGE),
    case("nearest exact", partial(F.interpolate, size=(9, 9), mode="nearest-exact"), IMAGE),
    case("bilinear", partial(F.interpolate, scale_factor=2, mode="bilinear"), IMAGE),
    case("bilinear to corners", partial(F.interpolate, size=(11, 9), mode="bilinear", align_corners=True), IMAGE),
    case("pad", lambda x: F.pad(x, (1, 2, 0, 1)), IMAGE),
    case("pad features and positions", lambda x: F.pad(x, (0, 4, 1, 1)), SEQUENCE),
    case("crop", lambda x: F.pad(x, (-1, -2, 0, 1)), IMAGE),
    case("reflect", lambda x: F.pad(x, (1, 2, 2, 1), mode="reflect"), IMAGE),
    case("replicate", lambda x: F.pad(x, (1, 2, 2, 1), mode="replicate"), IMAGE),
    case("circular", lambda x: F.pad(x, (1, 2, 2, 1), mode="circular"), IMAGE),
    case("shuffle", lambda x: F.pixel_shuffle(x, 2), IMAGE),
    case("unshuffle", lambda x: F.pixel_unshuffle(x, 2), IMAGE),
    case("flip", lambda x: x.flip(2), IMAGE),
    case("roll", lambda x: x.roll(1, 1), SEQUENCE),
    case("repeat", lambda x: x.repeat(1, 2, 1), SEQUENCE),
    case("repeat features", lambda x: x.repeat(1, 1, 2), SEQUENCE),
    case("interleave", lambda x: x.repeat_interleave(2, 1), SEQUENCE),
    case("index", lambda x: x[:, torch.tensor([0, 1, 1, 3])], SEQUENCE),
    case("index of shape", lambda x: x[:, torch.tensor([[0, 1], [1, 3]])], SEQUENCE),
]


def test_moments_are_those_of_the_operations() -> None:
    assert_rules_hold(CASES, RULES)
