"""One small transformer in PyTorch, Flax NNX, Flax Linen and Equinox, each as its library would write it."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import torch
from flax import nnx
from torch.nn import functional as F

WIDTH, HEADS, WORDS, LENGTH, BLOCKS = 32, 4, 50, 6, 2
EPS = 1e-5


class TorchAttention(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (torch.nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = [f(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for f in (self.query, self.key, self.value)]
        made: torch.Tensor = self.out(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))
        return made


class TorchBlock(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = (torch.nn.LayerNorm(WIDTH) for _ in range(2))
        self.attn = TorchAttention()
        self.up, self.down = torch.nn.Linear(WIDTH, 4 * WIDTH), torch.nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        made: torch.Tensor = x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))
        return made


class TorchTransformer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = torch.nn.Embedding(WORDS, WIDTH)
        self.pos = torch.nn.Parameter(torch.zeros(LENGTH, WIDTH))
        self.blocks = torch.nn.ModuleList(TorchBlock() for _ in range(BLOCKS))
        self.norm, self.head = torch.nn.LayerNorm(WIDTH), torch.nn.Linear(WIDTH, WORDS)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.tokens(ids) + self.pos
        for block in self.blocks:
            x = block(x)
        made: torch.Tensor = self.head(self.norm(x))
        return made


class NnxBlock(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.norm1, self.norm2 = (nnx.LayerNorm(WIDTH, epsilon=EPS, rngs=rngs) for _ in range(2))
        self.attn = nnx.MultiHeadAttention(HEADS, WIDTH, decode=False, rngs=rngs)
        self.up, self.down = nnx.Linear(WIDTH, 4 * WIDTH, rngs=rngs), nnx.Linear(4 * WIDTH, WIDTH, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = x + self.attn(self.norm1(x))
        return x + self.down(nnx.gelu(self.up(self.norm2(x))))


class NnxTransformer(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.tokens = nnx.Embed(WORDS, WIDTH, rngs=rngs)
        self.pos = nnx.Param(jnp.zeros((LENGTH, WIDTH)))
        self.blocks = nnx.List([NnxBlock(rngs) for _ in range(BLOCKS)])
        self.norm, self.head = nnx.LayerNorm(WIDTH, epsilon=EPS, rngs=rngs), nnx.Linear(WIDTH, WORDS, rngs=rngs)

    def __call__(self, ids: Any) -> Any:
        x = self.tokens(ids) + self.pos[...]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class LinenBlock(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = x + nn.MultiHeadDotProductAttention(HEADS, name="attn")(nn.LayerNorm(epsilon=EPS, name="norm1")(x))
        inner = nn.Dense(4 * WIDTH, name="up")(nn.LayerNorm(epsilon=EPS, name="norm2")(x))
        return x + nn.Dense(WIDTH, name="down")(nn.gelu(inner))


class LinenTransformer(nn.Module):
    @nn.compact
    def __call__(self, ids: Any) -> Any:
        x = nn.Embed(WORDS, WIDTH, name="tokens")(ids)
        x = x + self.param("pos", nn.initializers.zeros, (LENGTH, WIDTH))
        for i in range(BLOCKS):
            x = LinenBlock(name=f"blocks_{i}")(x)
        return nn.Dense(WORDS, name="head")(nn.LayerNorm(epsilon=EPS, name="norm")(x))


class EqxBlock(eqx.Module):
    norm1: eqx.nn.LayerNorm
    norm2: eqx.nn.LayerNorm
    attn: eqx.nn.MultiheadAttention
    up: eqx.nn.Linear
    down: eqx.nn.Linear

    def __init__(self, key: Any) -> None:
        biases = dict.fromkeys(("use_query_bias", "use_key_bias", "use_value_bias", "use_output_bias"), True)
        self.norm1, self.norm2 = eqx.nn.LayerNorm(WIDTH), eqx.nn.LayerNorm(WIDTH)
        self.attn = eqx.nn.MultiheadAttention(HEADS, WIDTH, key=key, **biases)
        self.up, self.down = eqx.nn.Linear(WIDTH, 4 * WIDTH, key=key), eqx.nn.Linear(4 * WIDTH, WIDTH, key=key)

    def __call__(self, x: Any) -> Any:
        y = jax.vmap(self.norm1)(x)
        x = x + self.attn(y, y, y)
        return x + jax.vmap(self.down)(jax.nn.gelu(jax.vmap(self.up)(jax.vmap(self.norm2)(x))))


class EqxTransformer(eqx.Module):
    tokens: eqx.nn.Embedding
    pos: jax.Array
    blocks: list[EqxBlock]
    norm: eqx.nn.LayerNorm
    head: eqx.nn.Linear

    def __init__(self, key: Any) -> None:
        self.tokens = eqx.nn.Embedding(WORDS, WIDTH, key=key)
        self.pos = jnp.zeros((LENGTH, WIDTH))
        self.blocks = [EqxBlock(key) for _ in range(BLOCKS)]
        self.norm, self.head = eqx.nn.LayerNorm(WIDTH), eqx.nn.Linear(WIDTH, WORDS, key=key)

    def __call__(self, ids: Any) -> Any:
        x = jax.vmap(self.tokens)(ids) + self.pos
        for block in self.blocks:
            x = block(x)
        return jax.vmap(self.head)(jax.vmap(self.norm)(x))


def torch_name(path: str) -> str:
    """What PyTorch's transformer calls the parameter of another."""
    for theirs, ours in (
        ("blocks_", "blocks."),
        ("_proj.", "."),
        (".output.", ".out."),
        (".kernel", ".weight"),
        (".scale", ".weight"),
        (".embedding", ".weight"),
    ):
        path = path.replace(theirs, ours)
    return path
