"""Streams, branches, norms and nets of chance: what is wrong with them, and what is so by design."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fanin
from fanin.api.evidence import gathering
from fanin.diagnosis import Finding, Severity, diagnose, remedy_plan
from fanin.frameworks.torch import write_
from fanin.testing.zoo import ZOO
from fanin.testing.zoo.residual import BLOCKS, narrow, residual

CODES = ("F05", "F06", "F07", "F08")


def found(model: nn.Module, *example: Any, select: tuple[str, ...] = CODES, **options: Any) -> dict[str, Finding]:
    return {f.code: f for f in fanin.diagnose(model, *example, select=select, **options)}


def in_zoo(name: str) -> dict[str, Finding]:
    there = ZOO[name].build()
    return found(there.model, *there.example, loss=there.loss)


def test_branches_as_large_as_the_stream_double_it() -> None:
    finding = in_zoo("residual, no norm, branches as large as the stream")["F05"]
    assert finding.evidence["ratio_per_addition"] == pytest.approx(2, rel=0.2)
    assert finding.evidence["additions"] == BLOCKS
    assert finding.affected[0] == "1"


def test_a_stream_that_grows_by_sums_is_no_finding() -> None:
    """A stream of 0.02 beside branches of 1: ×10000 in all, and each adds 1/l. Mutant: the share is not asked for."""

    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = residual("pre").model
            nn.init.normal_(self.net[0].weight, std=0.02 / 32**0.5)  # type: ignore[index]

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)  # type: ignore[no-any-return]

    net = Small()
    signals = fanin.diagnose(net, torch.randn(64, 32), select=("F05", "F06"))
    assert list(signals) == []


def test_a_norm_after_each_sum_holds_the_stream() -> None:
    assert "F05" not in in_zoo("residual, post-norm, drowned")


def test_far_out_of_range_it_is_a_note_beside_the_exploding_signal() -> None:
    there = residual(second=2.0)
    finding = found(there.model, *there.example, loss=there.loss)["F05"]
    assert finding.severity is Severity.NOTE
    assert "F02" in {f.code for f in fanin.diagnose(there.model, *there.example, loss=there.loss)}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("residual, no norm, branches at 0", "zero-init branch: by design, opens after one step"),
        ("residual, small scales", "only its last factor is small: by design, it grows as it is trained"),
        ("residual, small at the end", "only its last factor is small: by design, it grows as it is trained"),
    ],
)
def test_a_branch_that_is_shut_by_design_is_a_note(name: str, why: str) -> None:
    """Mutant: whatever adds nothing is a fault."""
    finding = in_zoo(name)["F06"]
    assert (finding.severity, finding.why) == (Severity.NOTE, why)
    there = ZOO[name].build()
    diagnosis = fanin.diagnose(there.model, *there.example, loss=there.loss, select=("F06",))
    assert all(str(entry.initializer) == "keep" for entry in remedy_plan(diagnosis))


def test_a_branch_of_two_zeros_never_opens() -> None:
    finding = in_zoo("residual, two zeros in a row")["F06"]
    assert finding.severity is Severity.ERROR
    assert "none of its parameters gets a gradient" in finding.what


def test_behind_a_head_at_zero_it_is_not_known_whether_a_branch_opens() -> None:
    there = residual("pre", second=0.0)
    head = list(there.model.children())[-1]
    nn.init.zeros_(head.weight)  # type: ignore[arg-type]
    finding = found(there.model, *there.example, loss=there.loss)["F06"]
    assert finding.severity is Severity.NOTE


def test_one_branch_that_is_larger_than_its_stream_does_not_drown_it() -> None:
    there = residual("post", second=0.3)
    with torch.no_grad():
        there.model[1].second.weight.mul_(100)  # type: ignore[index]
    assert "F06" not in found(there.model, *there.example, loss=there.loss)


def test_a_starved_norm_is_told_its_variance() -> None:
    finding = in_zoo("layer norm, starved")["F07"]
    assert finding.place.module == "1"
    assert finding.evidence["epsilon"] == 1e-5
    # Weights of std 1e-3/√n: a variance of 1e-6, and σ²/(σ² + ε) = 0.09.
    assert finding.evidence["share"] == pytest.approx(1e-6 / 1.1e-5, rel=0.1)
    assert "made too small by 0.weight" in finding.why


class Normed(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(16, 16), norm, nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.norm(self.first(x)))  # type: ignore[no-any-return]


def test_a_norm_that_starts_with_a_small_gain_is_not_starved() -> None:
    """Mutant: the gain is not taken out."""
    torch.manual_seed(0)
    norm = nn.LayerNorm(16)
    nn.init.constant_(norm.weight, 0.01)
    assert found(Normed(norm), torch.randn(8, 16)) == {}


def test_batch_norm_in_evaluation_is_not_judged() -> None:
    """Mutant: whatever norm. Its statistics are those of training, which there was none of."""
    torch.manual_seed(0)
    net = Normed(nn.BatchNorm1d(16))
    nn.init.normal_(net.first.weight, std=1e-4)
    nn.init.zeros_(net.first.bias)
    x = torch.randn(8, 16)
    assert "F07" in found(net, x)
    assert found(net.eval(), x) == {}


def test_a_norm_behind_exact_zeros_is_a_note() -> None:
    torch.manual_seed(0)
    net = Normed(nn.LayerNorm(16))
    nn.init.zeros_(net.first.weight)
    nn.init.zeros_(net.first.bias)
    assert found(net, torch.randn(8, 16))["F07"].severity is Severity.NOTE


def test_the_swing_is_that_of_the_theory() -> None:
    """Var log q = 5 L/n, and 1.28 standard deviations either way (Hanin & Nica 2020)."""
    finding = in_zoo("relu, sixty layers of thirty-two")["F08"]
    theory = math.exp(1.2816 * math.sqrt(5 * 60 / 32))
    assert math.log(finding.evidence["either_way"]) == pytest.approx(math.log(theory), rel=0.1)


@pytest.mark.parametrize(("depth", "width"), [(20, 64), (10, 32), (50, 128)])
def test_a_net_that_is_wider_than_deep_is_not_sensitive(depth: int, width: int) -> None:
    there = narrow(depth, width)
    assert "F08" not in found(there.model, *there.example, loss=there.loss)


def test_weights_that_keep_sizes_are_not_sensitive() -> None:
    """Mutant: whatever weights, as if they were drawn independently."""
    there = narrow(60, 32)
    fanin.initialize_(there.model, *there.example, seed=0)
    assert found(there.model, *there.example, loss=there.loss) == {}


def test_a_seed_that_turned_out_well_is_a_note() -> None:
    there = narrow(40, 48)
    plan = fanin.plan(there.model, *there.example, recipe="he")
    look = gathering(there.model, *there.example, loss=there.loss)
    severities = set()
    for seed in range(6):
        write_(there.model, plan, seed)
        (finding,) = (f for f in diagnose(look()) if f.code == "F08")
        well = 1 / 9 <= finding.evidence["measured_ratio"] <= 9
        assert (finding.severity is Severity.NOTE) == well
        severities.add(finding.severity)
        if len(severities) == 2:
            break
    assert severities == {Severity.NOTE, Severity.WARNING}
