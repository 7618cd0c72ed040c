"""Attention in one operation and written out, against real passes over several draws of the weights.

Tolerances: 24 draws of second moments over at least 4·16·32 entries, of which a draw has a relative spread below 0.25
(seen: 0.05 to 0.2), so that a mean is within 5·0.25/√24 = 0.26 of what is expected; forward 0.15 and 5·0.15/√24 = 0.15.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fanin.frameworks.torch import trace
from fanin.frameworks.torch.measuring.observe import observe
from fanin.frameworks.torch.predicting.predict import predict

DRAWS, FORWARD, BACKWARD = 24, 0.15, 0.26
Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class Attention(nn.Module):
    def __init__(self, kernel: Kernel, gain: float = 1.0, features: int = 64, heads: int = 2, shared: int = 1) -> None:
        super().__init__()
        self.q = nn.Linear(features, features, bias=False)
        self.k = nn.Linear(features, features // shared, bias=False)
        self.v = nn.Linear(features, features // shared, bias=False)
        self.kernel, self.width = kernel, features // heads
        for layer, variance in ((self.q, gain), (self.k, gain), (self.v, 1.0)):
            nn.init.normal_(layer.weight, 0.0, (variance / features) ** 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (layer(x).view(*x.shape[:2], -1, self.width).transpose(1, 2) for layer in (self.q, self.k, self.v))
        return self.kernel(q, k, v).transpose(1, 2).reshape(x.shape)


def ratios(make: Callable[[], nn.Module], alike: float = 0.0) -> dict[str, dict[str, float]]:
    """Predicted over measured second moments, by kind and node."""
    measured: dict[tuple[str, str], list[float]] = {}
    traced = trace(make(), torch.randn(4, 16, 64))
    for seed in range(DRAWS):
        torch.manual_seed(100 + seed)
        model = make()
        common = torch.randn(4, 1, 64)
        x = alike**0.5 * common + (1 - alike) ** 0.5 * torch.randn(4, 16, 64)
        seen = observe(traced, model, (x,))
        for kind, of in (("value", seen.values), ("gradient", seen.gradients)):
            for name, moments in of.items():
                measured.setdefault((kind, name), []).append(moments.second_moment)
    predicted = predict(traced, model, (x,))
    assert not predicted.sampled
    found: dict[str, dict[str, float]] = {"value": {}, "gradient": {}}
    for (kind, name), seconds in measured.items():
        known = (predicted.values if kind == "value" else predicted.gradients).get(name)
        if known and np.isfinite(seconds).all():
            found[kind][name] = known.second_moment / float(np.mean(seconds))
    return found


def check(make: Callable[[], nn.Module], alike: float = 0.0) -> None:
    found = ratios(make, alike)
    assert {n: r for n, r in found["value"].items() if abs(np.log(r)) > FORWARD} == {}
    assert {n: r for n, r in found["gradient"].items() if abs(np.log(r)) > BACKWARD} == {}
    assert len(found["gradient"]) >= 10


def fused(causal: bool, enable_gqa: bool = False) -> Kernel:
    return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=enable_gqa)


def hand_written(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    hidden = torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool).triu(1)
    return F.dropout(scores.masked_fill(hidden, float("-inf")).softmax(-1), 0.2) @ v


def by_einsum(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    weights = torch.einsum("bhid,bhjd->bhij", q, k).mul(q.shape[-1] ** -0.5).softmax(-1)
    return torch.einsum("bhij,bhjd->bhid", weights, v)


def heads_repeated(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    k, v = (x[:, :, None].expand(-1, -1, 2, -1, -1).reshape(q.shape) for x in (k, v))
    return F.scaled_dot_product_attention(q, k, v)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("gain", [0.3, 2.0])
def test_one_operation(causal: bool, gain: float) -> None:
    check(lambda: Attention(fused(causal), gain))


def test_alike_tokens_leave_queries_and_keys_little_gradient() -> None:
    """The mutant is q' = q S₂, without what all values have in common."""
    check(lambda: Attention(fused(causal=False)), alike=0.8)


def test_written_out_with_a_mask_and_dropout() -> None:
    check(lambda: Attention(hand_written))


def test_written_out_by_einsum() -> None:
    check(lambda: Attention(by_einsum))


def test_grouped_queries() -> None:
    check(lambda: Attention(fused(causal=False, enable_gqa=True), heads=4, shared=2))
    check(lambda: Attention(heads_repeated, heads=4, shared=2))
    check(lambda: Attention(heads_repeated, shared=2))


def test_a_module_with_its_sequence_first() -> None:
    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(64, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.attention(x, x, x, need_weights=False)[0])

    check(First)


@pytest.mark.parametrize("op", ["masked_fill", "where"])
def test_a_bias_that_hides_the_future_makes_attention_causal(op: str) -> None:
    """Of logits that are all 0, E Σ_j A_ij² is the mean of 1/(i + 1), and not the 1/T of a mask that is lost."""
    n = 16

    class Biased(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias, self.q = nn.Embedding(2 * n - 1, 2), nn.Linear(64, 64, bias=False)
            nn.init.zeros_(self.bias.weight)
            nn.init.zeros_(self.q.weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            at, future = torch.arange(n), torch.ones(n, n, dtype=torch.bool).triu(1)
            bias = self.bias(at[:, None] - at[None] + n - 1).permute(2, 0, 1)
            if op == "where":
                bias = torch.where(future, torch.finfo(torch.float64).min, bias)
            else:
                bias = bias.masked_fill(future, -torch.inf)
            q, v = (y.view(*x.shape[:2], 2, 32).transpose(1, 2) for y in (self.q(x), x))
            shares = torch.softmax(q @ v.transpose(-2, -1) + bias, -1)
            return (shares @ v).transpose(1, 2).reshape(x.shape)

    x = torch.randn(4, n, 64)
    found = predict(trace(Biased(), x), Biased(), (x,))
    assert not found.sampled
    expected = sum(1 / (i + 1) for i in range(n)) / n
    assert found.values["softmax"].second_moment * n == pytest.approx(expected, rel=1e-3)
