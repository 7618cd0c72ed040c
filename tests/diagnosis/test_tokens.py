"""Attention, tokens and samples: what collapses, what does not, and what is none of a start's business."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import fanin
from fanin.diagnosis import Finding, Severity, remedy_plan
from fanin.diagnosis.checks.alike import passages
from fanin.experiments.nets import Perceptron
from fanin.frameworks.torch import write_
from fanin.testing.zoo import ZOO
from fanin.testing.zoo.tokens import LENGTH, WIDTH, attention, ordered

CODES = ("A01", "F03", "F04")


def found(model: nn.Module, *example: Any, select: tuple[str, ...] = CODES, **options: Any) -> dict[str, Finding]:
    return {f.code: f for f in fanin.diagnose(model, *example, select=select, **options)}


def in_zoo(name: str) -> dict[str, Finding]:
    there = ZOO[name].build()
    return found(there.model, *there.example, loss=there.loss)


def test_collapsed_attention_is_placed_and_counted() -> None:
    finding = in_zoo("attention, queries and keys too wide")["A01"]
    assert finding.place.module == "attention.0"
    assert finding.place.block == ("attention.0", 1, 4)
    assert finding.affected == tuple(f"attention.{i}" for i in range(4))
    # Unit inputs, weights 4/√n: q and k of variance 16, logits of std 16 · √8/√8.
    assert finding.evidence["logit_std"] == pytest.approx(16, rel=0.2)
    assert finding.evidence["entropy_share"] < 0.25


def test_the_remedy_gives_logits_of_unit_variance() -> None:
    """Half of the factor is the queries', half the keys'."""
    there = attention(asks=4.0)
    diagnosis = fanin.diagnose(there.model, *there.example, loss=there.loss, select=("A01",))
    write_(there.model, remedy_plan(diagnosis), seed=1)
    after = fanin.diagnose(there.model, *there.example, loss=there.loss)
    spread = [detail.logit_std for detail in after.signals.attention.values()]
    assert spread == pytest.approx([1.0] * 4, rel=0.3)


class ByHand(nn.Module):
    """Softmax written out, over the keys nearer than `window`; `sharp` multiplies the logits."""

    def __init__(self, sharp: float, window: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        self.sharp, self.window = sharp, window
        for layer in (self.query, self.key, self.value):
            nn.init.normal_(layer.weight, std=WIDTH**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.sharp * self.query(x) @ self.key(x).transpose(1, 2) / math.sqrt(WIDTH)
        places = torch.arange(x.shape[1])
        far = (places[:, None] - places).abs() >= self.window
        return scores.masked_fill(far, -1e9).softmax(-1) @ self.value(x)  # type: ignore[no-any-return]


def test_attention_written_by_hand_is_seen() -> None:
    torch.manual_seed(0)
    assert "A01" in found(ByHand(10.0, LENGTH), torch.randn(4, LENGTH, WIDTH))


def test_a_mask_that_leaves_few_keys_is_no_collapse() -> None:
    """Mutant: masked keys counted among those that a query sees."""
    torch.manual_seed(0)
    assert "A01" not in found(ByHand(1.5, 2), torch.randn(4, 64, WIDTH))


def test_uniform_attention_is_no_finding() -> None:
    """Mutant: queries and keys of 1e-4 taken for where the signal begins, so that it explodes behind them."""
    there = ZOO["attention, uniform"].build()
    assert list(fanin.diagnose(there.model, *there.example, loss=there.loss)) == []


def test_tokens_that_collapse_are_followed_to_where_it_starts() -> None:
    finding = in_zoo("attention with nothing around it")["F03"]
    assert finding.severity is Severity.ERROR
    assert finding.place.module.startswith("attention.")
    assert finding.evidence["last_difference"] < 1e-6


def test_tokens_that_are_alike_from_the_start_are_the_datas_fault() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(3)))
    x = torch.randn(8, 1, WIDTH).expand(-1, LENGTH, -1).contiguous()
    assert "F03" not in found(net, x)


def test_the_branch_of_uniform_attention_is_not_its_stream() -> None:
    """Uniform attention gives all tokens one average, which is added to what they are."""
    there = attention(1, perceptron=False, asks=0.0)
    assert "F03" not in found(there.model, *there.example, loss=there.loss)


class Averaging(nn.Module):
    """A plain CNN that blurs its maps on purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular") for _ in range(24))
        for conv in self.convs:
            nn.init.normal_(conv.weight, std=72**-0.5)  # type: ignore[arg-type]
            conv.weight.data = 3 * conv.weight.mean((2, 3), keepdim=True).repeat(1, 1, 3, 3)  # type: ignore[operator]

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = torch.tanh(conv(x))
        return x


def test_the_maps_of_a_convolution_are_not_tokens() -> None:
    """Mutant: any positions taken for tokens."""
    torch.manual_seed(0)
    assert "F03" not in found(Averaging(), torch.randn(4, 8, 8, 8))


def test_where_samples_become_alike_is_where_the_theory_says() -> None:
    """In the ordered phase 1 − c shrinks by χ at each layer; the check names the layer at which it passes 1e-4."""
    finding = in_zoo("tanh, in the ordered phase")["F04"]
    first, last = finding.evidence["first_difference"], finding.evidence["last_difference"]
    chi = (max(last, 1e-16) / first) ** (1 / 19)
    predicted = 1 + math.log(1e-4) / math.log(chi)
    assert finding.place.layer is not None
    assert abs(finding.place.layer - predicted) <= 4


@pytest.mark.parametrize("depth", [50, 100])
def test_a_deep_relu_net_at_its_gain_tells_samples_apart(depth: int) -> None:
    """1 − c falls as 9π²/(2 L²) only, by design. Mutant: a threshold of 1e-1."""
    torch.manual_seed(0)
    net, x = Perceptron(depth, 128, 32, 10, "relu"), torch.randn(32, 32)
    fanin.initialize_(net, x, recipe="he", seed=0)
    assert "F04" not in found(net, x)


def test_inputs_that_are_alike_and_single_ones_are_not_judged() -> None:
    there = ordered(0.5, 1.0)
    x = torch.randn(1, 64)
    assert "F04" not in found(there.model, x.expand(16, -1).contiguous())
    assert "F04" not in found(there.model, x)


def test_a_readout_that_says_its_prior_is_not_judged() -> None:
    """Mutant: readouts among the points. A bias of −4.6 beside logits of 0.01 is RetinaNet's start."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10))
    nn.init.normal_(net[2].weight, std=1e-3)  # type: ignore[arg-type]
    nn.init.constant_(net[2].bias, -4.6)  # type: ignore[arg-type]
    loss = partial(F.cross_entropy, target=torch.arange(64) % 10)
    assert "F04" not in found(net, torch.randn(64, 32), loss=loss)


def test_a_mask_that_every_block_reads_goes_around_none() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(WIDTH, WIDTH)
            self.blocks = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(8))

        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            x = self.embed(x)
            for block in self.blocks:
                x = block((0.1 * x @ x.transpose(1, 2) + mask).softmax(-1) @ x)
            return x

    torch.manual_seed(0)
    net, x, mask = Masked(), torch.randn(4, LENGTH, WIDTH), torch.randn(4, LENGTH, LENGTH)
    paths = fanin.diagnose(net, x, mask, select=CODES).evidence.paths
    blocks = [name for name in paths.weights if name not in list(paths.weights)[-1:]]
    assert set(blocks) <= passages(paths, list(paths.weights)[-1:])


def test_a_head_at_zero_is_not_judged() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10))
    nn.init.zeros_(net[2].weight)  # type: ignore[arg-type]
    nn.init.zeros_(net[2].bias)  # type: ignore[arg-type]
    assert found(net, torch.randn(64, 32)) == {}
