"""Shapes of whole models, as their checkpoints name them, and the law that each parameter starts with.

GPT-2 small and Llama 3 8B start as transformers' `_init_weights` does: weights normal(0, 0.02), biases 0, norms 1.
ResNet-50 as torchvision does: convolutions he_normal of fan_out, norms 1 and 0, the head uniform.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple


class Weight(NamedTuple):
    """A parameter and its start: `law` is "normal" or "uniform" of that scale, or "constant" of that value."""

    name: str
    shape: tuple[int, ...]
    law: str
    scale: float


def gpt2_small() -> list[Weight]:
    """124,439,808 parameters; linear maps are stored (in, out)."""
    d = 768
    weights = [normal("wte.weight", 50257, d), normal("wpe.weight", 1024, d)]
    for i in range(12):
        for name, rows, columns in (
            ("attn.c_attn", d, 3 * d),
            ("attn.c_proj", d, d),
            ("mlp.c_fc", d, 4 * d),
            ("mlp.c_proj", 4 * d, d),
        ):
            std = 0.02 / math.sqrt(24) if name.endswith("c_proj") else 0.02
            weights += [normal(f"h.{i}.{name}.weight", rows, columns, std=std)]
            weights += [constant(f"h.{i}.{name}.bias", 0.0, columns)]
        for norm in ("ln_1", "ln_2"):
            weights += [constant(f"h.{i}.{norm}.weight", 1.0, d), constant(f"h.{i}.{norm}.bias", 0.0, d)]
    return [*weights, constant("ln_f.weight", 1.0, d), constant("ln_f.bias", 0.0, d)]


def resnet50() -> list[Weight]:
    """25,557,032 parameters."""
    weights = list(convolution("conv1", "bn1", 3, 64, 7))
    width_in = 64
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            weights += convolution(f"{name}.conv1", f"{name}.bn1", width_in, width, 1)
            weights += convolution(f"{name}.conv2", f"{name}.bn2", width, width, 3)
            weights += convolution(f"{name}.conv3", f"{name}.bn3", width, 4 * width, 1)
            if block == 0:
                weights += convolution(f"{name}.downsample.0", f"{name}.downsample.1", width_in, 4 * width, 1)
            width_in = 4 * width
    bound = 1 / math.sqrt(width_in)
    weights.append(Weight("fc.weight", (1000, width_in), "uniform", bound))
    return [*weights, Weight("fc.bias", (1000,), "uniform", bound)]


def llama_8b() -> list[Weight]:
    """8,030,261,248 parameters."""
    d, hidden, vocabulary, key_value = 4096, 14336, 128256, 1024
    weights = [normal("embed_tokens.weight", vocabulary, d)]
    for i in range(32):
        for name, rows, columns in (
            ("self_attn.q_proj", d, d),
            ("self_attn.k_proj", key_value, d),
            ("self_attn.v_proj", key_value, d),
            ("self_attn.o_proj", d, d),
            ("mlp.gate_proj", hidden, d),
            ("mlp.up_proj", hidden, d),
            ("mlp.down_proj", d, hidden),
        ):
            weights.append(normal(f"layers.{i}.{name}.weight", rows, columns))
        weights += [constant(f"layers.{i}.{norm}.weight", 1.0, d) for norm in ("input_norm", "post_attention_norm")]
    return [*weights, constant("norm.weight", 1.0, d), normal("lm_head.weight", vocabulary, d)]


def normal(name: str, *shape: int, std: float = 0.02) -> Weight:
    return Weight(name, shape, "normal", std)


def constant(name: str, value: float, *shape: int) -> Weight:
    return Weight(name, shape, "constant", value)


def convolution(name: str, norm: str, channels_in: int, channels_out: int, side: int) -> Iterator[Weight]:
    std = math.sqrt(2 / (channels_out * side * side))
    yield normal(f"{name}.weight", channels_out, channels_in, side, side, std=std)
    yield constant(f"{norm}.weight", 1.0, channels_out)
    yield constant(f"{norm}.bias", 0.0, channels_out)
