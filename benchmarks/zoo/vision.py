"""Transformers and mixers on images: ViT (Dosovitskiy et al. 2021) and MLP-Mixer (Tolstikhin et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .architecture import Architecture, noise, truncated_everywhere

WIDTH, DEPTH, HEADS, PATCH, IMAGE = 128, 8, 4, 4, 32
PATCHES = (IMAGE // PATCH) ** 2


class MLP(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.expand, self.reduce = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.reduce(F.gelu(self.expand(x)))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = self.qkv(x).reshape(batch, length, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).reshape(batch, length, WIDTH))


class EncoderBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(WIDTH, eps=1e-6), Attention()
        self.norm2, self.mlp = nn.LayerNorm(WIDTH, eps=1e-6), MLP(WIDTH, 4 * WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """As timm starts it: truncated N(0, 0.02²) for linear layers and positions; the head likewise, and not zero.

    The head reads a token of its own, or the mean over patches (Beyer et al. 2022).
    """

    def __init__(self, *, pooled: bool = False) -> None:
        super().__init__()
        self.pooled = pooled
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.token = None if pooled else nn.Parameter(torch.randn(1, 1, WIDTH) * 1e-6)
        self.positions = nn.Parameter(torch.empty(1, PATCHES + (not pooled), WIDTH))
        self.blocks = nn.Sequential(*(EncoderBlock() for _ in range(DEPTH)))
        self.norm, self.head = nn.LayerNorm(WIDTH, eps=1e-6), nn.Linear(WIDTH, 10)
        nn.init.trunc_normal_(self.positions, std=0.02)
        for part in (self.blocks, self.head):
            truncated_everywhere(part)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        if self.token is not None:
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        x = self.norm(self.blocks(x + self.positions))
        return self.head(x.mean(1) if self.pooled else x[:, 0])


class MixerBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.tokens = nn.LayerNorm(WIDTH, eps=1e-6), MLP(PATCHES, WIDTH // 2)
        self.norm2, self.channels = nn.LayerNorm(WIDTH, eps=1e-6), MLP(WIDTH, 4 * WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.blocks = nn.Sequential(*(MixerBlock() for _ in range(DEPTH)))
        self.norm, self.head = nn.LayerNorm(WIDTH, eps=1e-6), nn.Linear(WIDTH, 10)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(x)).mean(1))


ENTRIES = (
    Architecture("vit", "transformer", ViT, noise(8, 3, IMAGE, IMAGE)),
    Architecture("vit-pooled", "transformer", lambda: ViT(pooled=True), noise(8, 3, IMAGE, IMAGE)),
    Architecture("mixer", "mixer", Mixer, noise(8, 3, IMAGE, IMAGE)),
)
