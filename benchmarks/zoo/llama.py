"""Llama (Touvron et al. 2023): RMS norm, rotary positions, SwiGLU, shared keys; and Mixtral's mixture of experts.

Start: N(0, 0.02²) everywhere. The experts (Jiang et al. 2024) are all run, and all but the best two weighted by 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .architecture import Architecture, normal_everywhere, tokens

WIDTH, INNER, HEADS, SHARED, LENGTH, VOCABULARY = 128, 344, 4, 2, 64, 512
HEAD = WIDTH // HEADS


class RMSNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    left, right = x.chunk(2, -1)
    return x * cosine + torch.cat([-right, left], -1) * sine


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.out = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.k, self.v = nn.Linear(WIDTH, SHARED * HEAD, bias=False), nn.Linear(WIDTH, SHARED * HEAD, bias=False)
        frequencies = 10000.0 ** (-torch.arange(0, HEAD, 2) / HEAD)
        angles = torch.outer(torch.arange(LENGTH), frequencies).repeat(1, 2)
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = (f(x).view(batch, length, -1, HEAD).transpose(1, 2) for f in (self.q, self.k, self.v))
        q, k = rotated(q, self.cosine, self.sine), rotated(k, self.cosine, self.sine)
        k, v = (
            part[:, :, None].expand(batch, SHARED, HEADS // SHARED, length, HEAD).reshape(batch, HEADS, length, HEAD)
            for part in (k, v)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(batch, length, WIDTH))


class SwiGLU(nn.Module):
    def __init__(self, inner: int = INNER) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(WIDTH, inner, bias=False), nn.Linear(WIDTH, inner, bias=False)
        self.down = nn.Linear(inner, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Experts(nn.Module):
    def __init__(self, count: int = 4, active: int = 2) -> None:
        super().__init__()
        self.active = active
        self.router = nn.Linear(WIDTH, count, bias=False)
        self.experts = nn.ModuleList(SwiGLU(INNER // 2) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        best, index = torch.softmax(self.router(x), -1).topk(self.active, -1)
        share = torch.zeros(*x.shape[:-1], len(self.experts), dtype=x.dtype, device=x.device)
        share = share.scatter(-1, index, best / best.sum(-1, keepdim=True))
        outs = torch.stack([expert(x) for expert in self.experts], -2)
        return (share[..., None] * outs).sum(-2)


class Block(nn.Module):
    def __init__(self, mlp: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.norm1, self.attention, self.norm2, self.mlp = RMSNorm(), Attention(), RMSNorm(), mlp()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Llama(nn.Module):
    def __init__(self, depth: int = 6, mlp: Callable[[], nn.Module] = SwiGLU) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks = nn.ModuleList(Block(mlp) for _ in range(depth))
        self.norm, self.head = RMSNorm(), nn.Linear(WIDTH, VOCABULARY, bias=False)
        normal_everywhere(self)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


ENTRIES = (
    Architecture("llama", "transformer", Llama, tokens(4, LENGTH, VOCABULARY)),
    Architecture("moe", "mixture of experts", lambda: Llama(4, Experts), tokens(4, LENGTH, VOCABULARY)),
)
