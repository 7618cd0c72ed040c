"""Values and gradients that leave their dtype: by depth, at the end of an operation's domain, or in half precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn

from fanin.testing.zoo.case import Case, Situation

WIDTH: Final = 32
LABELS: Final = torch.arange(32) % 10


def cross_entropy(out: Tensor) -> Tensor:
    """In float32, as under autocast."""
    return nn.functional.cross_entropy(out.float(), LABELS)


class Guarded(nn.Module):
    """Two layers with an operation between them."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.between = between
        self.first, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Classes of each sample."""
        return self.head(self.between(self.first(x)))  # type: ignore[no-any-return]


class Attending(nn.Module):
    """One head over three tokens; the mask says which keys each query does not see."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.register_buffer("hidden", hidden)
        self.qkv, self.head = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Classes of each sample."""
        q, k, v = self.qkv(x).chunk(3, -1)
        scores = (q @ k.transpose(1, 2) / WIDTH**0.5).masked_fill(self.get_buffer("hidden"), -math.inf)
        return self.head((scores.softmax(-1) @ v).mean(1))  # type: ignore[no-any-return]


def _log(x: Tensor, eps: float = 0.0) -> Tensor:
    return torch.log(torch.relu(x) + eps)


def _norm(x: Tensor, eps: float = 0.0) -> Tensor:
    """The first sample is all zeros."""
    x = x * (torch.arange(len(x)) > 0)[:, None]
    return x / ((x.square().sum(-1, keepdim=True) + eps).sqrt() + 1.0)


def guarded(between: Callable[[Tensor], Tensor]) -> Situation:
    """Random inputs, and an operation that does not take all of what it is given."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return Situation(Guarded(between), (torch.randn(32, WIDTH),), cross_entropy)


def attending(masked: bool) -> Situation:
    """A causal mask; `masked`: one that hides all keys from the first query, as an off-by-one does."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        hidden = torch.ones(3, 3, dtype=torch.bool).triu(0 if masked else 1)
        return Situation(Attending(hidden), (torch.randn(32, 3, WIDTH),), cross_entropy)


def deep(
    std: float, depth: int, dtype: torch.dtype = torch.float32, loss: Callable[..., Tensor] = cross_entropy
) -> Situation:
    """A perceptron of ReLUs, each weight of `std`/√fan_in, in some dtype."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        hidden = [m for n, k in pairwise([WIDTH] * depth) for m in (nn.Linear(n, k), nn.ReLU())]
        net = nn.Sequential(*hidden, nn.Linear(WIDTH, 10))
        for layer in net:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=std / layer.in_features**0.5)
                nn.init.zeros_(layer.bias)
        return Situation(net.to(dtype), (torch.randn(32, WIDTH).to(dtype),), loss)


def _mean_over_many(out: Tensor, samples: float) -> Tensor:
    """As if the 32 samples were a share of so many: a mean over the tokens of a language model's batch."""
    return cross_entropy(out) * (32 / samples)


HE: Final = 2.0**0.5
CASES: Final = (
    Case("overflow through depth", partial(deep, 1e4, 12), frozenset({"N01"}), frozenset({"F02", "N02"})),
    Case("log of 0", partial(guarded, _log), frozenset({"N01"}), hopeless=True),
    Case("log of a little more than 0", partial(guarded, partial(_log, eps=1.0))),
    Case("the slope of a root at 0", partial(guarded, _norm), frozenset({"N01"}), hopeless=True),
    Case("the slope of a root beside 0", partial(guarded, partial(_norm, eps=1e-6))),
    Case("a row that is masked as a whole", partial(attending, True), frozenset({"N01"}), hopeless=True),
    Case("a causal mask", partial(attending, False)),
    Case(
        "float16, large",
        partial(deep, 12.5, 4, torch.float16),
        frozenset({"N02"}),
        frozenset({"F02", "B02", "L01", "N03"}),
    ),
    Case("float16, small", partial(deep, 0.08, 5, torch.float16), frozenset({"N02"}), frozenset({"F01", "B01", "N03"})),
    Case("float16, He", partial(deep, HE, 5, torch.float16)),
    Case("bfloat16, He", partial(deep, HE, 5, torch.bfloat16)),
    Case(
        "float16, a loss without a scale",
        partial(deep, HE, 5, torch.float16, partial(_mean_over_many, samples=1e5)),
        frozenset({"N03"}),
        hopeless=True,
    ),
    Case("float16, a loss with a scale", partial(deep, HE, 5, torch.float16, partial(_mean_over_many, samples=1.0))),
)
