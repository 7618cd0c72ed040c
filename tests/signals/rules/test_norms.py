"""The rules of `fanin.signals.rules.norms`, against the operations themselves."""

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


def layer_norm_by_hand(x: Any) -> Any:
    centred = x - x.mean(-1, keepdim=True)
    return centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + 1e-5)


def batch_norm_by_hand(x: Any) -> Any:
    centred = x - x.mean((0, 2, 3), keepdim=True)
    return centred / torch.sqrt(x.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5)


SEQUENCE = Drawn((4, 6, 16), (S, P, C))
WIDE = Drawn((4, 5, 32), (S, P, C))
IMAGE = Drawn((3, 16, 6, 6), (S, C, P, P))
BATCH = Drawn((16, 8, 4, 4), (S, C, P, P), alike=0.4)
BATCH_SEGMENTS = Drawn((16, 8, 4, 4), (S, C, P, P), segments=(2, 6), alike=0.4)
CASES = [
    case("batch norm", partial(F.batch_norm, running_mean=None, running_var=None, training=True), BATCH, error=0.05),
    case(
        "batch norm of segments",
        partial(F.batch_norm, running_mean=None, running_var=None, training=True),
        BATCH_SEGMENTS,
        error=0.05,
    ),
    case("layer norm", lambda x: F.layer_norm(x, (16,)), SEQUENCE, error=0.04),
    case("RMS norm", lambda x: F.rms_norm(x, (16,)), SEQUENCE, error=0.04),
    case("group norm", lambda x: F.group_norm(x, 4), IMAGE, error=0.3),  # 4 features a group: 1/v varies
    case("instance norm", F.instance_norm, IMAGE, error=0.05),
    case("layer norm by hand", layer_norm_by_hand, WIDE, error=0.03),
    case("RMS norm by hand", lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5), WIDE, error=0.03),
    case("normalize", partial(F.normalize, dim=-1), WIDE, error=0.03),
    case("batch norm by hand", batch_norm_by_hand, BATCH, error=0.06),
]


def test_moments_are_those_of_the_operations() -> None:
    assert_rules_hold(CASES, RULES)
