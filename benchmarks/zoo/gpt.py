"""GPT: pre-norm (GPT-2, Radford et al. 2019), post-norm (GPT-1, 2018), attention by torch or written by hand.

Start: N(0, 0.02²), and in GPT-2 the layers before the residual sum divided by √(2 · depth); the head is the embedding.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .architecture import Architecture, normal_everywhere, tokens

WIDTH, HEADS, LENGTH, VOCABULARY = 128, 4, 64, 512


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def handwritten_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    logits = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    future = torch.ones(LENGTH, LENGTH, dtype=torch.bool, device=q.device).triu(1)
    return torch.softmax(logits.masked_fill(future, -math.inf), -1) @ v


def handwritten_gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


class SelfAttention(nn.Module):
    def __init__(self, core: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.core = core
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = (
            part.view(batch, length, HEADS, WIDTH // HEADS).transpose(1, 2) for part in self.qkv(x).split(WIDTH, 2)
        )
        y = self.core(q, k, v).transpose(1, 2).contiguous().view(batch, length, WIDTH)
        return self.out(y)


class Block(nn.Module):
    def __init__(self, *, post_norm: bool, by_hand: bool) -> None:
        super().__init__()
        self.post_norm, self.gelu = post_norm, handwritten_gelu if by_hand else F.gelu
        self.attention = SelfAttention(handwritten_attention if by_hand else attention)
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.expand, self.reduce = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def mlp(self, x: Tensor) -> Tensor:
        return self.reduce(self.gelu(self.expand(x)))

    def forward(self, x: Tensor) -> Tensor:
        if self.post_norm:
            x = self.norm1(x + self.attention(x))
            return self.norm2(x + self.mlp(x))
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self, depth: int, *, post_norm: bool = False, by_hand: bool = False) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList(Block(post_norm=post_norm, by_hand=by_hand) for _ in range(depth))
        self.norm = nn.Identity() if post_norm else nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.head.weight = self.tokens.weight
        normal_everywhere(self)
        if not post_norm:
            for block in self.blocks:
                for layer in (block.attention.out, block.reduce):
                    nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * depth))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def _gpt(name: str, make: Callable[[], nn.Module]) -> Architecture:
    return Architecture(name, "transformer", make, tokens(4, LENGTH, VOCABULARY))


ENTRIES = (
    _gpt("gpt-pre-6", lambda: GPT(6)),
    _gpt("gpt-pre-24", lambda: GPT(24)),
    _gpt("gpt-post-12", lambda: GPT(12, post_norm=True)),
    _gpt("gpt-by-hand-6", lambda: GPT(6, by_hand=True)),
)
