"""BERT (Devlin et al. 2019) and T5 (Raffel et al. 2020), each with its own start."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .architecture import Architecture, normal_everywhere, tokens

WIDTH, INNER, HEADS, LENGTH, VOCABULARY = 128, 512, 4, 32, 512
HEAD = WIDTH // HEADS


def by_head(x: Tensor) -> Tensor:
    return x.view(x.shape[0], x.shape[1], HEADS, HEAD).transpose(1, 2)


def joined(x: Tensor) -> Tensor:
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], WIDTH)


class BertLayer(nn.Module):
    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.expand, self.reduce = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, eps=1e-12), nn.LayerNorm(WIDTH, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = by_head(self.q(x)), by_head(self.k(x)), by_head(self.v(x))
        shares = self.dropout(torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(HEAD), -1))
        x = self.norm1(x + self.dropout(self.out(joined(shares @ v))))
        return self.norm2(x + self.dropout(self.reduce(F.gelu(self.expand(x)))))


class Bert(nn.Module):
    def __init__(self, depth: int = 6) -> None:
        super().__init__()
        self.tokens, self.positions, self.kinds = (nn.Embedding(n, WIDTH) for n in (VOCABULARY, LENGTH, 2))
        self.norm, self.dropout = nn.LayerNorm(WIDTH, eps=1e-12), nn.Dropout(0.1)
        self.layers = nn.Sequential(*(BertLayer() for _ in range(depth)))
        self.transform, self.transform_norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH, eps=1e-12)
        self.bias = nn.Parameter(torch.zeros(VOCABULARY))
        normal_everywhere(self)

    def forward(self, ids: Tensor) -> Tensor:
        positions = torch.arange(LENGTH, device=ids.device)
        x = self.tokens(ids) + self.positions(positions) + self.kinds(torch.zeros_like(ids))
        x = self.layers(self.dropout(self.norm(x)))
        return F.linear(self.transform_norm(F.gelu(self.transform(x))), self.tokens.weight, self.bias)


class RMSNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


class T5Attention(nn.Module):
    """No 1/√d: it is in the start of the queries."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        for layer, fan_in in ((self.q, WIDTH * HEAD), (self.k, WIDTH), (self.v, WIDTH), (self.out, HEADS * HEAD)):
            nn.init.normal_(layer.weight, std=fan_in**-0.5)

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor | None) -> Tensor:
        logits = by_head(self.q(x)) @ by_head(self.k(memory)).transpose(2, 3)
        shares = torch.softmax(logits if bias is None else logits + bias, -1)
        return self.out(joined(shares @ by_head(self.v(memory))))


class T5Block(nn.Module):
    def __init__(self, *, decoder: bool) -> None:
        super().__init__()
        self.norm1, self.attention, self.norm2 = RMSNorm(), T5Attention(), RMSNorm()
        self.norm3, self.cross = (RMSNorm(), T5Attention()) if decoder else (None, None)
        self.expand, self.reduce = nn.Linear(WIDTH, INNER, bias=False), nn.Linear(INNER, WIDTH, bias=False)
        nn.init.normal_(self.expand.weight, std=WIDTH**-0.5)
        nn.init.normal_(self.reduce.weight, std=INNER**-0.5)

    def forward(self, x: Tensor, bias: Tensor, memory: Tensor | None = None) -> Tensor:
        y = self.norm1(x)
        x = x + self.attention(y, y, bias)
        if self.cross is not None:
            x = x + self.cross(self.norm3(x), memory, None)
        return x + self.reduce(F.relu(self.expand(self.norm2(x))))


class T5Stack(nn.Module):
    """The bias of a pair of positions depends on their distance; the decoder's hides the future."""

    def __init__(self, depth: int, *, decoder: bool) -> None:
        super().__init__()
        self.bias = nn.Embedding(2 * LENGTH - 1, HEADS)
        nn.init.normal_(self.bias.weight, std=WIDTH**-0.5)
        self.blocks = nn.ModuleList(T5Block(decoder=decoder) for _ in range(depth))
        self.norm, self.decoder = RMSNorm(), decoder

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        at = torch.arange(LENGTH, device=x.device)
        bias = self.bias(at[:, None] - at[None, :] + LENGTH - 1).permute(2, 0, 1)
        if self.decoder:
            future = torch.ones(LENGTH, LENGTH, dtype=torch.bool, device=x.device).triu(1)
            bias = bias.masked_fill(future, -math.inf)
        for block in self.blocks:
            x = block(x, bias, memory)
        return self.norm(x)


class T5(nn.Module):
    def __init__(self, depth: int = 4) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)  # N(0, 1), as torch starts it
        self.encoder, self.decoder = T5Stack(depth, decoder=False), T5Stack(depth, decoder=True)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        memory = self.encoder(self.tokens(ids))
        x = self.decoder(self.tokens(targets), memory)
        return F.linear(x * WIDTH**-0.5, self.tokens.weight)


ENTRIES = (
    Architecture("bert", "transformer", Bert, tokens(4, LENGTH, VOCABULARY)),
    Architecture("t5", "transformer", T5, tokens(4, LENGTH, VOCABULARY, inputs=2)),
)
