"""Attention that sees one key, tokens and samples that become one."""

from __future__ import annotations

from functools import partial
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fanin.testing.zoo.case import Case, Situation

WIDTH: Final = 32
HEADS: Final = 4
LENGTH: Final = 16
VOCABULARY: Final = 50


class Attention(nn.Module):
    """Each token asks all."""

    def __init__(self, *, packed: bool) -> None:
        super().__init__()
        self.packed = packed
        if packed:
            self.query_key_value = nn.Linear(WIDTH, 3 * WIDTH)
        else:
            self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, width) → the same."""
        parts = self.query_key_value(x).chunk(3, -1) if self.packed else (self.query(x), self.key(x), self.value(x))
        q, k, v = (part.view(*x.shape[:2], HEADS, -1).transpose(1, 2) for part in parts)
        y: Tensor = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape))
        return y


class Stack(nn.Module):
    """Blocks of attention and, where there is one, a perceptron.

    Args:
        order: "pre" and "post" say where the norms are, "bare" that nothing goes around attention.
    """

    def __init__(self, blocks: int, *, order: str, perceptron: bool, packed: bool) -> None:
        super().__init__()
        self.order = order
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Parameter(torch.randn(LENGTH, WIDTH))
        self.attention = nn.ModuleList(Attention(packed=packed) for _ in range(blocks))
        hidden = [nn.Sequential(nn.Linear(WIDTH, 64), nn.GELU(), nn.Linear(64, WIDTH)) for _ in range(blocks)]
        self.perceptron = nn.ModuleList(hidden if perceptron else ())
        count = len(self.attention) + len(self.perceptron)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(count if order != "bare" else 0))
        self.readout = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        """(batch, length) → (batch, length, tokens)."""
        x = self.tokens(ids) + self.positions
        pairs = zip(self.attention, self.perceptron, strict=True) if len(self.perceptron) else zip(self.attention)
        for i, branch in enumerate(branch for pair in pairs for branch in pair):
            if self.order == "bare":
                x = branch(x)
            elif self.order == "pre":
                x = x + branch(self.norms[i](x))
            else:
                x = self.norms[i](x + branch(x))
        y: Tensor = self.readout(x)
        return y


def attention(
    blocks: int = 4,
    *,
    order: str = "pre",
    perceptron: bool = True,
    packed: bool = False,
    asks: float = 1.0,
    says: float = 1.0,
) -> Situation:
    """Xavier's start, as PyTorch gives attention.

    Args:
        asks: factor on the weights of queries and keys; of a packed weight, on all.
        says: factor on the weights of values and outputs.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        net = Stack(blocks, order=order, perceptron=perceptron, packed=packed)
        for path, p in net.named_parameters():
            if "attention" in path and p.dim() == 2:
                nn.init.normal_(p, std=WIDTH**-0.5)
                p.data *= asks if "query" in path or "key" in path else says
            elif "attention" in path:
                nn.init.zeros_(p)
        ids = torch.randint(VOCABULARY, (8, LENGTH))

    def loss(logits: Tensor) -> Tensor:
        return F.cross_entropy(logits.flatten(0, 1), ids.roll(-1, 1).flatten())

    return Situation(net, (ids,), loss)


def ordered(weights: float, biases: float) -> Situation:
    """Twenty layers of tanh.

    Args:
        weights: their std, times √fan_in.
        biases: their std.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        net = nn.Sequential(*(m for _ in range(20) for m in (nn.Linear(64, 64), nn.Tanh())), nn.Linear(64, 10))
        for layer in net:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=weights / 8)
                nn.init.normal_(layer.bias, std=biases)
        inputs = torch.randn(64, 64)
    return Situation(net, (inputs,), partial(F.cross_entropy, target=torch.arange(64) % 10))


CASES: Final = (
    Case("attention, queries and keys too wide", partial(attention, asks=4.0), frozenset({"A01"})),
    Case(
        "attention, packed and too wide",
        partial(attention, packed=True, asks=5.0),
        frozenset({"A01"}),
        frozenset({"L01"}),
    ),
    Case("attention, pre-norm", attention),
    Case("attention, post-norm", partial(attention, order="post")),
    Case("attention, uniform", partial(attention, asks=0.01)),
    Case(
        "attention with nothing around it",
        partial(attention, 8, order="bare", perceptron=False),
        frozenset({"F03"}),
        frozenset({"F01", "B01", "F04"}),
        hopeless=True,
    ),
    Case(
        "attention that drowns its tokens",
        partial(attention, 8, order="post", perceptron=False, says=8.0),
        frozenset({"F03"}),
        frozenset({"F06", "B01", "F04"}),
    ),
    Case("attention that does not", partial(attention, 8, order="post", perceptron=False, says=0.5)),
    Case("tanh, in the ordered phase", partial(ordered, 0.5, 1.0), frozenset({"F04"}), frozenset({"B01"})),
    Case("tanh, at the edge of chaos", partial(ordered, 1.327, 0.2236)),  # σ_w² 1.761, σ_b² 0.05
)
