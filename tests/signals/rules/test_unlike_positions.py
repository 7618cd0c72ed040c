"""Class tokens and causal stacks against real passes over draws of the weights, and what goes wrong without bins.

Tolerance: the mean of n draws has a standard error s/√n that is measured with them, of which 6 are allowed (2e-9 false
alarms), and the engine 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fanin.frameworks.torch import trace
from fanin.frameworks.torch.measuring.observe import observe
from fanin.frameworks.torch.predicting.predict import predict
from fanin.frameworks.torch.tracing.trace import Traced
from fanin.signals.rules import attention, concatenation, scores

DRAWS, ENGINE, WIDTH, HEADS, LENGTH = 16, 0.05, 64, 2, 32


class Block(nn.Module):
    def __init__(self, *, causal: bool, by_hand: bool = False) -> None:
        super().__init__()
        self.causal, self.by_hand = causal, by_hand
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.norm1, self.norm2 = nn.RMSNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.expand, self.reduce = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        for layer in (self.qkv, self.out, self.expand, self.reduce):
            nn.init.normal_(layer.weight, 0.0, layer.in_features**-0.5)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if not self.by_hand:
            return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        logits = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        if self.causal:
            logits = logits.masked_fill(torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool).triu(1), -math.inf)
        return torch.softmax(logits, -1) @ v

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(self.norm1(x)).chunk(3, -1)
        q, k, v = (part.view(*x.shape[:2], HEADS, -1).transpose(1, 2) for part in parts)
        x = x + self.out(self.attend(q, k, v).transpose(1, 2).reshape(x.shape))
        out: Tensor = x + self.reduce(F.gelu(self.expand(self.norm2(x))))
        return out


class Tokens(nn.Module):
    """Blocks behind a class token of its own size, which alone is read."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(0.05 * torch.randn(1, 1, WIDTH))
        self.blocks = nn.Sequential(Block(causal=False), Block(causal=False))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.blocks(torch.cat([self.token.expand(len(x), -1, -1), x], 1))[:, 0]
        return out


def causal(*, by_hand: bool = False) -> nn.Module:
    return nn.Sequential(*(Block(causal=True, by_hand=by_hand) for _ in range(6)))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "token": Tokens,
    "causal": causal,
    "by hand": lambda: causal(by_hand=True),
}


@cache
def measured(name: str) -> tuple[Traced, dict[tuple[str, str], list[float]]]:
    """The second moments of each draw, by kind and node."""
    found: dict[tuple[str, str], list[float]] = {}
    traced = trace(MODELS[name](), torch.randn(4, LENGTH, WIDTH))
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        seen = observe(traced, MODELS[name](), (torch.randn(4, LENGTH, WIDTH),))
        for kind, of in (("value", seen.values), ("gradient", seen.gradients)):
            for node, moments in of.items():
                found.setdefault((kind, node), []).append(moments.second_moment)
    return traced, found


def off(name: str) -> dict[tuple[str, str], float]:
    """How far each node's second moment is from what is measured, in units of what is allowed."""
    traced, draws = measured(name)
    torch.manual_seed(0)
    found = predict(traced, MODELS[name](), (torch.randn(4, LENGTH, WIDTH),))
    assert not found.sampled
    beyond = {}
    for (kind, node), seconds in draws.items():
        known = (found.values if kind == "value" else found.gradients).get(node)
        mean = float(np.mean(seconds))
        if known and math.isfinite(mean) and mean > 0 and "softmax" not in node and "matmul" not in node:
            allowed = ENGINE + 6 * float(np.std(seconds)) / mean / math.sqrt(DRAWS)
            beyond[kind, node] = abs(math.log(known.second_moment / mean)) / math.log1p(allowed)
    return beyond


@pytest.mark.parametrize("name", MODELS)
def test_positions_that_are_not_alike_are_followed(name: str) -> None:
    beyond = off(name)
    assert max(beyond.values()) < 1, {node: size for node, size in beyond.items() if size > 1}


def test_one_population_is_not_enough_for_a_class_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concatenation, "one_after_another", lambda *_: None)
    assert max(off("token").values()) > 3


@pytest.mark.parametrize("name", ["causal", "by hand"])
def test_one_population_is_not_enough_behind_a_causal_mask(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(scores if name == "by hand" else attention, "bins_of", lambda *_: None)
    assert max(off(name).values()) > 1.2
