"""L01, L02, N01, N02, N03, B03 and D01 at their thresholds, their known exceptions, and what their remedies do."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fanin
from fanin.diagnosis import CHECKS, Diagnosis, Finding, Severity, remedy_plan
from fanin.testing.zoo import ZOO, data, loss, numbers
from fanin.testing.zoo.case import Case

CASES = {case.name: case for family in (data, loss, numbers) for case in family.CASES}


def diagnosed(case: Case) -> Diagnosis:
    there = case.build()
    return fanin.diagnose(there.model, *there.example, loss=there.loss, **there.options)


def found(diagnosis: Diagnosis, code: str) -> Finding | None:
    return next((finding for finding in diagnosis if finding.code == code), None)


def one(code: str, name: str) -> Finding:
    finding = found(diagnosed(ZOO[name]), code)
    assert finding is not None
    return finding


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.hopeless])
def test_where_no_start_helps_the_advice_says_what_does(name: str) -> None:
    """And what the finding is about is not drawn anew."""
    diagnosis = diagnosed(CASES[name])
    (code,) = CASES[name].faults
    finding = found(diagnosis, code)
    assert finding is not None
    remedy = CHECKS[code].remedy
    kept = fanin.plan(CASES[name].build().model, recipe="as_built")
    assert remedy is None or remedy(kept, diagnosis.evidence, finding) == kept
    assert "recipe auto" not in finding.remedy


def classifier(logit_std: float, samples: int, classes: int = 10) -> tuple[nn.Linear, torch.Tensor]:
    """A layer whose logits have that standard deviation, all classes' weights orthogonal."""
    torch.manual_seed(0)
    net = nn.Linear(64, classes, bias=False)
    nn.init.orthogonal_(net.weight, gain=logit_std)
    return net, torch.randn(samples, 64)


def codes(diagnosis: Diagnosis) -> dict[str, Severity]:
    return {finding.code: finding.severity for finding in diagnosis}


@pytest.mark.parametrize(("std", "severity"), [(1.0, None), (3.0, Severity.NOTE), (6.0, Severity.WARNING)])
def test_the_first_loss_is_judged_by_nats_above_chance(std: float, severity: Severity | None) -> None:
    """σ²/2 nats for σ small, less than σ² for σ large. Mutant: any loss above chance is too much."""
    net, x = classifier(std, 512)
    y = torch.arange(512) % 10
    assert codes(fanin.diagnose(net, x, y, loss=F.cross_entropy)).get("L01") is severity
    summed = nn.CrossEntropyLoss(reduction="sum")  # the same, whatever the loss is multiplied by
    assert codes(fanin.diagnose(net, x, y, loss=summed)).get("L01") is severity


def test_a_few_samples_may_have_bad_luck() -> None:
    """Two labels drawn against the net. Mutant: no allowance for the number of samples."""
    net, x = classifier(1.0, 2)
    worst = net(x).argmin(1)
    above = F.cross_entropy(net(x), worst).item() - math.log(10)
    assert above > 1
    assert "L01" not in codes(fanin.diagnose(net, x, worst, loss=F.cross_entropy))


def test_a_loss_below_chance_is_noted_and_no_more() -> None:
    net, x = classifier(6.0, 512)
    best = net(x).argmax(1)
    diagnosis = fanin.diagnose(net, x, best, loss=F.cross_entropy)
    assert codes(diagnosis) == {"L01": Severity.NOTE}
    assert diagnosis.healthy
    assert "labels among the inputs" in diagnosis.findings[0].remedy


def test_a_loss_that_is_0_at_0_is_not_judged() -> None:
    net, x = classifier(6.0, 64)
    assert "L01" not in codes(fanin.diagnose(net, x, loss=lambda out: out.square().mean()))


def test_targets_of_a_small_size_are_far_from_outputs_of_size_1() -> None:
    net, x = classifier(1.0, 64)
    assert "L01" in codes(fanin.diagnose(net, x, 0.01 * torch.ones(64, 10), loss=F.mse_loss))
    assert "L01" not in codes(fanin.diagnose(net, x, torch.ones(64, 10), loss=F.mse_loss))


def test_hot_logits_are_reported_once() -> None:
    """Where the loss shows them, by L01."""
    net, x = classifier(6.0, 64)
    model = nn.Sequential(net, nn.LogSoftmax(1))
    assert codes(fanin.diagnose(model, x)) == {"L02": Severity.WARNING}
    assert "L02" not in codes(fanin.diagnose(model, x, torch.arange(64) % 10, loss=F.nll_loss))
    # With an answer that the loss agrees to, it is below chance, and the weights are trained.
    assert codes(fanin.diagnose(model, x, model(x).argmax(1), loss=F.nll_loss)) == {"L01": Severity.NOTE}


def test_many_classes_bear_logits_of_a_larger_variance() -> None:
    """2 ln V: 4.6 for 10 classes, 13.8 for 1000. Mutant: one threshold for all."""
    few, many = ((nn.Sequential(net, nn.Softmax(1)), x) for net, x in (classifier(2.5, 64), classifier(2.5, 64, 1000)))
    nn.init.normal_(next(many[0].parameters()), std=2.5 / 8)
    assert "L02" in codes(fanin.diagnose(*few))
    assert "L02" not in codes(fanin.diagnose(*many))


def test_a_frozen_readout_is_left_alone() -> None:
    net, x = classifier(12.0, 64)
    net.requires_grad_(False)
    model = nn.Sequential(nn.Linear(64, 64), net)
    diagnosis = fanin.diagnose(model, x, torch.arange(64) % 10, loss=F.cross_entropy)
    plan = remedy_plan(diagnosis)
    assert plan["1.weight"].initializer == fanin.Keep()


# What makes it, which operation is named, and a word of the advice.
CULPRITS: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], str, str]] = {
    "log": (lambda z: z.relu().log(), "output of log", "ε"),
    "division": (lambda z: z / z.relu(), "output of div", "ε"),
    "root": (lambda z: (z - 9).sqrt(), "output of sqrt", "clamp"),
    "root, backward": (lambda z: (z * (z > 0)).sqrt(), "gradient that sqrt sends back", "ε"),
    "root behind where, backward": (lambda z: torch.where(z > 0, z.sqrt(), z), "gradient that sqrt sends back", "ε"),
}


@pytest.mark.parametrize("name", CULPRITS)
def test_the_operation_that_made_it_is_named_with_its_guard(name: str) -> None:
    """Mutant: the operation whose gradient is first not finite, which is the one before."""
    between, words, guard = CULPRITS[name]
    torch.manual_seed(0)
    finding = found(fanin.diagnose(numbers.Guarded(between), torch.randn(8, 32)), "N01")
    assert finding is not None
    assert words in finding.what
    assert guard in finding.remedy
    assert finding.place.operation in finding.what


def test_a_row_that_is_masked_as_a_whole_is_told_from_a_mask() -> None:
    finding = one("N01", "a row that is masked as a whole")
    assert finding.place.operation == "softmax"
    assert "every score of a row is masked" in finding.why


def test_a_loss_that_is_not_finite_is_named() -> None:
    net, x = classifier(1.0, 8)
    finding = found(fanin.diagnose(net, x, loss=lambda out: (0 * out).sum().log() * out.mean()), "N01")
    assert finding is not None
    assert "output is finite" in finding.what
    assert "a lambda" in finding.why


def test_weights_are_blamed_where_values_had_grown() -> None:
    finding = one("N01", "overflow through depth")
    assert finding.place.operation == "linear"
    assert "recipe auto" in finding.remedy


def test_half_precision_is_only_noted_where_it_is_not_in_use() -> None:
    """Mutant: float32 is held to the range of float16."""
    there = numbers.deep(12.5, 6)
    found_ = codes(fanin.diagnose(there.model, *there.example, loss=there.loss))
    assert found_["N02"] is Severity.NOTE
    healthy = numbers.deep(2**0.5, 6)
    assert "N02" not in codes(fanin.diagnose(healthy.model, *healthy.example, loss=healthy.loss))


def test_underflow_needs_a_loss_and_float16() -> None:
    scaled = partial(numbers._mean_over_many, samples=1e5)
    for dtype in (torch.bfloat16, torch.float32):
        there = numbers.deep(2**0.5, 5, dtype)
        assert "N03" not in codes(fanin.diagnose(there.model, *there.example, loss=scaled))
    there = numbers.deep(2**0.5, 5, torch.float16)
    assert "N03" not in codes(fanin.diagnose(there.model, *there.example))


@pytest.mark.parametrize(("name", "rate"), [("Adam at 0.1", 0.1), ("SGD at 100", 100.0), ("SGD at 1e-9", 1e-9)])
def test_a_step_out_of_proportion_comes_with_a_rate_that_is_not(name: str, rate: float) -> None:
    """Mutant: the learning rate alone, whatever the weight's size."""
    there = ZOO[name].build()
    finding = one("B03", name)
    said = re.search(r"a learning rate of (?:at most|about) ([\d.e+-]+\d)", finding.remedy)
    assert said is not None
    advised = float(said[1])
    optimizer = type(there.options["optimizer"])(there.model.parameters(), lr=advised)
    assert "B03" not in codes(fanin.diagnose(there.model, *there.example, loss=there.loss, optimizer=optimizer))
    assert finding.evidence["learning_rate"] == rate


def test_a_warmup_is_not_too_small() -> None:
    there = ZOO["Adam at 1e-3"].build()
    optimizer = torch.optim.SGD(there.model.parameters(), lr=0.1)
    torch.optim.lr_scheduler.LinearLR(optimizer, 1e-9)
    assert fanin.diagnose(there.model, *there.example, loss=there.loss, optimizer=optimizer).healthy


def test_sgd_is_not_judged_by_the_gradient_of_no_task() -> None:
    there = ZOO["SGD at 100"].build()
    assert "B03" not in codes(fanin.diagnose(there.model, there.example[0], **there.options))


def test_a_weight_that_starts_near_0_on_purpose_may_grow() -> None:
    """Mutant: held against its own size alone."""
    net, x = classifier(1e-4, 64)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    assert "B03" not in codes(fanin.diagnose(net, x, optimizer=optimizer))


@pytest.mark.parametrize(
    ("scale", "offset", "wrong"),
    [
        *((1.0, 0.0, False), (9.0, 0.0, False), (11.0, 0.0, True), (0.05, 0.0, False), (0.02, 0.0, True)),
        *((1.0, 2.5, False), (1.0, 3.5, True), (1.0, -3.5, True)),
    ],
)
def test_data_is_judged_by_its_size_and_its_mean(scale: float, offset: float, wrong: bool) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 8))
    x = scale * torch.randn(64, 32) + offset
    assert ("D01" in codes(fanin.diagnose(net, x))) is wrong


def test_features_that_are_off_to_either_side_are_seen_one_by_one() -> None:
    """Their means cancel. Mutant: the mean of all values alone."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 8))
    x = torch.randn(64, 32) + 4 * torch.tensor([1.0, -1.0]).repeat(16)
    assert "D01" in codes(fanin.diagnose(net, x))


def test_pixels_are_called_so_with_the_numbers() -> None:
    finding = one("D01", "pixels 0 … 255")
    assert "whole numbers 0 … 255" in finding.what
    assert "subtract 128 and divide by 73" in finding.remedy
    assert finding.place.operation == "conv2d"


class Reads(nn.Module):
    """A layer behind some reading of the input."""

    def __init__(self, reads: Callable[[torch.Tensor], torch.Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.reads, self.layers = reads, nn.Sequential(*layers, nn.Linear(32, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(self.reads(x))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("model", "x", "wrong"),
    [
        (lambda: Reads(lambda x: x / 255), 255 * torch.rand(64, 32), False),
        (lambda: Reads(lambda x: x, nn.LayerNorm(32)), 255 * torch.rand(64, 32), False),
        (lambda: Reads(lambda x: x.flatten(1)), 255 * torch.rand(64, 4, 8), True),
        (lambda: Reads(lambda x: x), torch.zeros(64, 32), False),
        (lambda: Reads(lambda x: x), 100 * torch.ones(64, 32), False),
        (lambda: Reads(lambda x: x, nn.Embedding(300, 32), nn.Flatten(0, 1)), torch.randint(300, (64, 3)), False),
        (lambda: Reads(lambda x: x), torch.randn(1, 32), False),
    ],
    ids=["scaled inside", "to a norm", "through a view", "zeros", "constant", "words", "one sample"],
)
def test_only_data_that_goes_into_a_weight_as_it_is_is_judged(
    model: Callable[[], nn.Module], x: torch.Tensor, wrong: bool
) -> None:
    torch.manual_seed(0)
    assert ("D01" in codes(fanin.diagnose(model(), x))) is wrong


def test_a_diagnosis_of_a_loader_with_all_options_is_healthy_and_prints() -> None:
    there = ZOO["Adam at 1e-3"].build()
    pairs: Any = [tuple(there.example), tuple(there.example)]
    diagnosis = fanin.diagnose(there.model, pairs, loss=there.loss, **there.options)
    assert diagnosis.summary == "healthy"
    assert diagnosis.to_dict()["healthy"]


def test_what_makes_most_of_the_logits_is_named_and_mended() -> None:
    """Mutant: the last weight is blamed, whatever made them."""
    torch.manual_seed(0)
    x, y = torch.randn(64, 16), torch.arange(64) % 10
    net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 10))
    with torch.no_grad():
        net.get_parameter("2.bias")[3] = 50
    (found,) = fanin.diagnose(net, x, y, loss=F.cross_entropy, select=["L01"])
    assert "most of it is 2.bias, of second moment 25" in found.why
    fanin.repair_(net, x, y, loss=F.cross_entropy)
    assert not net.get_parameter("2.bias").any()
    assert "L01" not in codes(fanin.diagnose(net, x, y, loss=F.cross_entropy))

    class Scores(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.user, self.item = nn.Embedding(64, 64), nn.Embedding(64, 64)
            self.small = nn.Linear(128, 1)

        def forward(self, i: Tensor) -> Tensor:
            u, v = self.user(i), self.item(i.flip(0))
            out: Tensor = (u * v).sum(1) + self.small(torch.cat([u, v], 1)).squeeze(1)
            return out

    binary, i = torch.arange(64).remainder(2).float(), torch.arange(64)
    (found,) = fanin.diagnose(Scores(), i, binary, loss=F.binary_cross_entropy_with_logits, select=["L01"])
    assert "most of it is what sum makes" in found.why
