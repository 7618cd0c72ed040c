"""A transformer over characters, each position seeing only those before it.

Pre-norm (x + f(norm(x)), GPT-2) keeps a clean way through and trains from almost any start. Post-norm
(norm(x + f(x)), the first transformer) passes the gradient through every norm: with branches as strong as the stream,
each takes half of it, and at 48 blocks nothing is left at the first; it was trained by raising the rate slowly over
thousands of steps. Starts that make the branches weak at first (T-Fixup, DeepNorm, Admin) do without that.

References: Xiong et al. 2020; Liu et al. 2020 (Admin); Huang et al. 2020 (T-Fixup); Wang et al. 2022 (DeepNorm).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import nn
from torch.nn import functional as F

from fanin.errors import UnknownName
from fanin.experiments.data import Data
from fanin.experiments.nets.activations import activation as activation_named

NORMS: Final[dict[str, Callable[[int], nn.Module]]] = {
    "layer": nn.LayerNorm,
    "rms": nn.RMSNorm,
    "none": lambda width: nn.Identity(),
}


def norm_of(name: str, width: int) -> nn.Module:
    """A new one over the stream; batch norm is not among them, as it would let a position see those after it.

    Raises:
        UnknownName: the message names the nearest.
    """
    if name not in NORMS:
        raise UnknownName("norm", name, NORMS)
    return NORMS[name](width)


class Attention(nn.Module):
    """softmax(q kᵀ / √d) v in each head, and a layer that mixes the heads.

    Args:
        packed: queries, keys and values by one layer, their weights one above the other.
    """

    def __init__(self, width: int, heads: int, *, packed: bool) -> None:
        super().__init__()
        self.heads, self.packed = heads, packed
        if packed:
            self.qkv = nn.Linear(width, 3 * width)
        else:
            self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, length, width) → the same."""
        batch, length, width = x.shape
        parts = self.qkv(x).split(width, 2) if self.packed else (self.q(x), self.k(x), self.v(x))
        q, k, v = (part.view(batch, length, self.heads, width // self.heads).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: torch.Tensor = self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return out


class FeedForward(nn.Module):
    """Two layers with an activation in between, four times as wide."""

    def __init__(self, width: int, activation: str = "gelu") -> None:
        super().__init__()
        self.activation = activation_named(activation)
        self.expand, self.reduce = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, width) → the same."""
        out: torch.Tensor = self.reduce(self.activation(self.expand(x)))
        return out


class Block(nn.Module):
    """Attention, then a feed-forward net, each added to the stream; the norm before it, or after the sum."""

    def __init__(self, width: int, heads: int, activation: str, norm: str, *, post_norm: bool, packed: bool) -> None:
        super().__init__()
        self.post_norm = post_norm
        self.attention, self.feed_forward = Attention(width, heads, packed=packed), FeedForward(width, activation)
        self.norm1, self.norm2 = norm_of(norm, width), norm_of(norm, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, length, width) → the same."""
        if self.post_norm:
            x = self.norm1(x + self.attention(x))
            out: torch.Tensor = self.norm2(x + self.feed_forward(x))
        else:
            x = x + self.attention(self.norm1(x))
            out = x + self.feed_forward(self.norm2(x))
        return out


class Transformer(nn.Module):
    """Embeddings of tokens and positions, blocks, a readout at every position; with pre-norm, a norm before it."""

    def __init__(
        self,
        blocks: int,
        width: int,
        heads: int,
        tokens: int,
        length: int,
        activation: str = "gelu",
        norm: str = "layer",
        *,
        post_norm: bool = False,
        packed: bool = False,
    ) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(tokens, width), nn.Embedding(length, width)
        each = (Block(width, heads, activation, norm, post_norm=post_norm, packed=packed) for _ in range(blocks))
        self.blocks = nn.ModuleList(each)
        self.norm = nn.Identity() if post_norm else norm_of(norm, width)
        self.readout = nn.Linear(width, tokens)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(batch, length) → (batch, length, tokens)."""
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        out: torch.Tensor = self.readout(self.norm(x))
        return out


def transformer(
    data: Data,
    *,
    blocks: int = 48,
    width: int = 32,
    heads: int = 2,
    activation: str = "gelu",
    norm: str = "layer",
    post_norm: bool = False,
    packed: bool = False,
) -> Transformer:
    """Without warm-up, a deep one with post-norm does not train from common starts (Xiong et al. 2020)."""
    length = data.inputs.shape[1]
    return Transformer(blocks, width, heads, data.tokens, length, activation, norm, post_norm=post_norm, packed=packed)
