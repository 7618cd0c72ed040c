"""The rules of `choice` and `routing`: who is chosen, and where its tokens go, against the operations themselves."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import fanin
from fanin.api.evidence import gathering
from fanin.signals import averaged
from fanin.signals.axes import Kind
from fanin.signals.rules import RULES, choice
from fanin.signals.values import Choices
from fanin.testing.signals import Drawn, RuleCase, assert_rules_hold

S, P, C = Kind.SAMPLE, Kind.POSITION, Kind.FEATURE
SEQUENCE = Drawn((4, 6, 16), (S, P, C))
EXPERTS, ACTIVE, WIDTH = 4, 2, 64


def case(name: str, function: Callable[..., Any], *inputs: Drawn, **options: Any) -> RuleCase:
    return RuleCase(name, function, inputs, **{"draws": 100, **options})


@torch.library.custom_op("fanin_tests::grouped_mm_fallback", mutates_args=())
def grouped(input: Tensor, weight: Tensor, offs: Tensor) -> Tensor:  # noqa: A002  # as transformers calls them
    """Rows up to each offset through the next matrix: PyTorch's own takes only bfloat16."""
    starts = [0, *offs.tolist()]
    parts = [input[a:b] @ w for (a, b), w in zip(pairwise(starts), weight, strict=True)]
    return torch.cat(parts)


@grouped.register_fake
def _(input: Tensor, weight: Tensor, offs: Tensor) -> Tensor:  # noqa: A002
    return input.new_empty(input.shape[0], weight.shape[2])


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _back(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
    x, weight, offs = ctx.saved_tensors
    starts = [0, *offs.tolist()]
    parts = list(pairwise(starts))
    to_weight = torch.stack([x[a:b].T @ gradient[a:b] for a, b in parts])
    return torch.cat([gradient[a:b] @ w.T for (a, b), w in zip(parts, weight, strict=True)]), to_weight, None


grouped.register_autograd(_back, setup_context=_keep)


def chosen(x: Tensor) -> Tensor:
    best, at = x.softmax(-1).topk(3, -1)
    return torch.zeros(4, 6, 16).scatter(-1, at, best)


CASES = [
    case("largest", lambda x: x.topk(3, -1)[0], SEQUENCE, error=0.03, back_error=0.05),
    case("smallest", lambda x: x.topk(5, -1, largest=False)[0], SEQUENCE, error=0.03, back_error=0.1),
    case("sorted", lambda x: x.sort(-1)[0], SEQUENCE, error=0.03, back_error=0.1),
    case("chosen, the rest 0", chosen, SEQUENCE, error=0.1, back_error=0.2),
]


def test_moments_are_those_of_the_operations() -> None:
    assert_rules_hold(CASES, RULES)


class Experts(nn.Module):
    """Mixtral's: tokens sorted by expert, two grouped products, and each token's shares summed."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(WIDTH, EXPERTS, bias=False)
        self.enter = nn.Parameter(torch.randn(EXPERTS, WIDTH, WIDTH) / WIDTH**0.5)
        self.leave = nn.Parameter(torch.randn(EXPERTS, WIDTH, WIDTH) / WIDTH**0.5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(0, 1)
        best, which = self.router(tokens).softmax(-1).topk(ACTIVE, -1)
        share = best / best.sum(-1, keepdim=True)
        experts, order = which.flatten().sort()
        ends = experts.float().histc(EXPERTS, 0, EXPERTS - 1).cumsum(0, dtype=torch.int32)
        hidden = F.silu(grouped(tokens[order // ACTIVE], self.enter, ends))
        out = grouped(hidden, self.leave, ends) * share.flatten()[order][:, None]
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order))
        whole: Tensor = out[back].view(len(tokens), ACTIVE, WIDTH).sum(1).view_as(x)
        return whole


@pytest.fixture(scope="module", params=[0.0, 2.0], ids=["tokens apart", "tokens alike"])
def seen(request: Any) -> tuple[Tensor, fanin.Signals]:
    """Tokens of which each sample has a part in common, and the mean of passes with 16 draws of the weights."""
    generator = torch.Generator().manual_seed(7)  # not that of the cotangent
    x = torch.randn(8, 32, WIDTH, generator=generator)
    x = x + request.param * torch.randn(8, 1, WIDTH, generator=generator)
    model, passes = Experts(), []
    look = gathering(model, x)  # traced once
    for seed in range(16):
        torch.manual_seed(seed)
        model.load_state_dict(Experts().state_dict())
        passes.append(look().signals)
    return x, averaged(passes)


def test_experts_are_followed(seen: tuple[Tensor, fanin.Signals]) -> None:
    """8 samples that are alike within choose as 8 tokens do: of 16 draws, their moments are known to some 5 %."""
    x, measured = seen
    predicted = fanin.predict(Experts(), x)
    assert not predicted.sampled
    found = predicted.compare(measured)
    assert found.values.largest < 1.2
    assert found.gradients.median < 1.1
    assert found.gradients.largest < 2.5  # of the shares, which add up to 1, where tokens are alike
    assert found.parameter_gradients.largest < 1.6  # of the router
    assert _of_experts(predicted) == pytest.approx(_of_experts(measured), rel=0.2)


def _of_experts(signals: fanin.Signals) -> float:
    """E (∂w)² of the first weights."""
    gradient = signals.parameters["enter"].gradient
    assert gradient is not None
    return gradient.second_moment


def test_not_all_tokens_meet_in_one_expert(seen: tuple[Tensor, fanin.Signals], monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: any two tokens choose alike, so that what they have in common survives every expert."""
    x, measured = seen
    monkeypatch.setattr(choice, "Choices", lambda each, *_: Choices(each, 1.0, 1.0))
    broken = fanin.predict(Experts(), x).compare(measured)
    if measured.values["view"].second_moment > 1.5:  # where tokens are alike
        assert broken.values.largest > 1.2
