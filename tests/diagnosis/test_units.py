"""Copies, units that never speak, and layers that hold one draw: found where they are, not where they are meant."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

import fanin
from fanin.diagnosis import Diagnosis, Finding, Severity, remedy_plan
from fanin.diagnosis.checks.dead import EXACT, _tail
from fanin.testing.zoo import units
from fanin.testing.zoo.case import Case

WIDTH = 64


def judged(case: Case) -> Diagnosis:
    there = case.build()
    return fanin.diagnose(there.model, *there.example, loss=there.loss, **there.options)


def only(diagnosis: Diagnosis, code: str) -> Finding:
    found = [f for f in diagnosis if f.code == code]
    assert len(found) == 1, str(diagnosis)
    return found[0]


def of(name: str) -> Case:
    return next(case for case in units.CASES if case.name == name)


def he(*sizes: int) -> nn.Sequential:
    net = nn.Sequential(*(m for n, k in pairwise(sizes) for m in (nn.Linear(n, k), nn.ReLU())))
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*net, nn.Linear(sizes[-1], 10))


# U01


def test_shards_of_one_seed_are_half_a_layer() -> None:
    """Mutant: copies that are never enough."""
    found = only(judged(of("relu, shards drawn from one seed")), "U01")
    assert (found.evidence["units"], found.evidence["distinct_units"]) == (WIDTH, WIDTH // 2)
    assert found.severity is Severity.WARNING
    assert found.affected == ("0", "2", "4")


def test_copies_that_are_pushed_alike_are_told_from_those_that_part() -> None:
    """Mutant: copies judged by their weights alone."""
    assert "they stay alike" in only(judged(of("relu, widened by copies")), "U01").why
    assert "stay" not in only(judged(of("relu, shards drawn from one seed")), "U01").why


def test_rows_of_few_values_may_be_equal_by_chance() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 256), nn.ReLU(), nn.Linear(256, 1)).bfloat16()
    assert len(set(net.get_parameter("0.weight").flatten().tolist())) < 250
    assert fanin.diagnose(net, torch.linspace(-1, 1, 64)[:, None].bfloat16()).healthy


def test_rows_of_zeros_by_design_are_no_copies() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 4))
    nn.init.eye_(net.get_parameter("0.weight"))  # rows 16 to 63 are zeros
    assert fanin.diagnose(net, torch.randn(64, 16)).healthy


def test_channels_of_one_pixel_may_start_alike_before_a_shuffle() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 12, 3, padding=1), nn.PixelShuffle(2))
    with torch.no_grad():
        net.get_parameter("2.weight").copy_(torch.randn(3, 32, 3, 3).repeat_interleave(4, 0) / 17)
    assert fanin.diagnose(net, torch.randn(4, 3, 8, 8)).healthy


# U03


def test_a_layer_without_any_unit_left_is_an_error_and_its_bias_is_named() -> None:
    found = only(judged(of("relu, biases of -8")), "U03")
    assert found.severity is Severity.ERROR
    assert found.place.module == "2"
    assert "2.bias averages -8" in found.why


def test_a_mean_below_zero_is_named_where_no_bias_explains_it() -> None:
    assert "2.weight has mean -0.2" in only(judged(of("relu, leaning weights")), "U03").why


@pytest.mark.parametrize("seed", range(3))
def test_half_of_all_units_are_dead_for_a_single_sample_and_that_is_chance(seed: int) -> None:
    """Mutant: more than half is more than chance."""
    torch.manual_seed(seed)
    assert fanin.diagnose(he(32, *[256] * 4), torch.randn(1, 32), select=["U03"]).findings == ()


@pytest.mark.parametrize("samples", [1, 2, 8])
def test_samples_that_depth_makes_alike_leave_no_more_than_half_dead(samples: int) -> None:
    torch.manual_seed(0)
    found = fanin.diagnose(he(32, *[128] * 30), torch.randn(samples, 32), select=["U03"])
    assert found.findings == ()


def test_units_that_are_given_nothing_are_not_dead_themselves() -> None:
    """A branch that starts closed, with a ReLU in what reads it."""

    class Closed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Parameter(torch.zeros(1))
            self.read, self.head = nn.Linear(32, WIDTH, bias=False), nn.Linear(WIDTH + 32, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.cat([self.read(self.gate * x).relu(), x], 1))  # type: ignore[no-any-return]

    torch.manual_seed(0)
    assert fanin.diagnose(Closed(), torch.randn(64, 32), select=["U03"]).findings == ()


def test_few_units_left_is_a_warning_and_more_a_note() -> None:
    def found(bias: float) -> list[Severity]:
        torch.manual_seed(0)
        net = he(32, 256, 256)
        nn.init.constant_(net.get_parameter("2.bias"), bias)
        return [f.severity for f in fanin.diagnose(net, torch.randn(64, 32), select=["U03"])]

    assert found(0.0) == []
    assert found(-6.0) == [Severity.WARNING]
    assert Severity.NOTE in {s for bias in (-3.5, -3.0, -2.5, -2.0) for s in found(bias)}


def test_the_chance_of_many_dead_units_is_that_of_coins() -> None:
    assert _tail(10, 10) == 2**-10
    assert _tail(4, 2) == 11 / 16
    exact = sum(math.comb(2 * EXACT, i) for i in range(EXACT + 60, 2 * EXACT + 1)) / 2 ** (2 * EXACT)
    assert _tail(2 * EXACT, EXACT + 60) == pytest.approx(exact, rel=0.1)


# U04


def test_copies_are_worse_the_longer_they_stay_alike() -> None:
    """Mutant: gradients that are not looked at."""
    assert only(judged(of("branches, copied")), "U04").severity is Severity.ERROR
    assert only(judged(of("attention, query is key")), "U04").severity is Severity.WARNING
    assert only(judged(of("encoder, copied layers")), "U04").severity is Severity.NOTE


def test_a_part_that_is_another_is_named() -> None:
    found = only(judged(of("attention, packed query is key")), "U04")
    assert "of the 3 parts of attention.in_proj_weight only 2 differ" in found.what
    assert found.place.parameter == "attention.in_proj_weight"


def test_constants_and_identities_are_no_copies() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(*[m for _ in range(4) for m in (nn.Linear(WIDTH, WIDTH), nn.ReLU())], nn.Linear(WIDTH, 10))
    for layer in list(net)[:-1]:
        if isinstance(layer, nn.Linear):
            nn.init.eye_(layer.weight)
    assert fanin.diagnose(net, torch.randn(64, WIDTH), select=["U04"]).findings == ()


def test_the_first_of_the_copies_keeps_its_values() -> None:
    there = of("branches, copied").build()
    plan = remedy_plan(fanin.diagnose(there.model, *there.example, loss=there.loss))
    assert plan["branches.0.0.weight"].initializer == fanin.Keep()
    assert str(plan["branches.1.0.weight"].initializer) == "uniform 0.5774/√fan_in"
