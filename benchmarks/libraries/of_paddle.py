"""paddle.nn.initializer, seeded by `paddle.seed`; matrices are (in, out), as paddle.nn.Linear has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle
from libraries.base import Library, Offer
from paddle import nn
from paddle.nn import initializer

from fanin.initializers import (
    Initializer,
    Normal,
    Orthogonal,
    Target,
    Uniform,
    glorot_uniform,
    he_normal,
    torch_truncated_normal,
)
from fanin.testing import Foreign


def offer(name: str, law: Initializer, **arguments: Any) -> Offer:
    """`name` of paddle.nn.initializer, made with these arguments."""

    def call(target: Target, seed: int) -> Any:
        matrix = len(target.shape) == 2
        paddle.seed(seed)
        tensor = paddle.empty(target.shape[::-1] if matrix else target.shape, dtype=target.dtype)
        getattr(initializer, name)(**arguments)(tensor)
        values = tensor.astype("float64").numpy()
        return values.T if matrix else values

    return Offer(f"{name}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})", Foreign(call, law))


OFFERS = {
    "normal": offer("Normal", Normal(0.02), std=0.02),
    "uniform": offer("Uniform", Uniform(-0.05, 0.05), low=-0.05, high=0.05),
    "truncated normal": offer("TruncatedNormal", torch_truncated_normal(0.02), std=0.02),
    "He normal": offer("KaimingNormal", he_normal()),
    "Glorot uniform": offer("XavierUniform", glorot_uniform()),
    "orthogonal": offer("Orthogonal", Orthogonal()),
}
LAYERS: dict[str, Callable[[Any], Any]] = {
    "Linear 64 → 32": lambda how: nn.Linear(64, 32, weight_attr=how).weight,
    "Conv 3×3, 64 → 32": lambda how: nn.Conv2D(64, 32, 3, weight_attr=how).weight,
    "Conv 3×3, stride 2": lambda how: nn.Conv2D(64, 32, 3, stride=2, weight_attr=how).weight,
    "Conv 3×3, 4 groups": lambda how: nn.Conv2D(64, 32, 3, groups=4, weight_attr=how).weight,
    "Conv 3×3, depthwise": lambda how: nn.Conv2D(64, 64, 3, groups=64, weight_attr=how).weight,
    "ConvTranspose 4×4, stride 2": lambda how: nn.Conv2DTranspose(64, 32, 4, stride=2, weight_attr=how).weight,
    "attention: q, k, v": lambda how: nn.MultiHeadAttention(64, 4, weight_attr=how).q_proj.weight,
}


def weight(layer: str, mode: str, seed: int) -> Any:
    """`KaimingUniform` as the layer's attribute."""
    paddle.seed(seed)
    return LAYERS[layer](initializer.KaimingUniform(mode=mode)).numpy()


def library() -> Library:
    """The column."""
    layers = {name: lambda mode, seed, name=name: weight(name, mode, seed) for name in LAYERS}
    return Library("paddle", paddle.__version__, OFFERS, layers)
