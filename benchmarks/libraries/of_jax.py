"""jax.nn.initializers, on kernels as Flax lays them out: the axes of a target in reverse order."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.nn import initializers
from libraries.base import Library, Offer

from fanin.initializers import (
    DeltaOrthogonal,
    Initializer,
    Normal,
    Orthogonal,
    Target,
    Uniform,
    glorot_uniform,
    he_truncated_normal,
    jax_truncated_normal,
)
from fanin.testing import Foreign

jax.config.update("jax_enable_x64", True)


def offer(name: str, law: Initializer, **arguments: Any) -> Offer:
    """`name` of jax.nn.initializers, made with these arguments."""

    def call(target: Target, seed: int) -> Any:
        draw = getattr(initializers, name)(**arguments)
        return np.asarray(draw(jax.random.key(seed), target.shape[::-1], target.dtype).astype("float64")).T

    return Offer(f"{name}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})", Foreign(call, law))


OFFERS = {
    "normal": offer("normal", Normal(0.02), stddev=0.02),
    "uniform": offer("uniform", Uniform(0.0, 0.05), scale=0.05),
    "truncated normal": offer("truncated_normal", jax_truncated_normal(0.02), stddev=0.02),
    "He normal": offer("he_normal", he_truncated_normal()),
    "Glorot uniform": offer("glorot_uniform", glorot_uniform()),
    "orthogonal": offer("orthogonal", Orthogonal()),
    "delta-orthogonal": offer("delta_orthogonal", DeltaOrthogonal()),
}
KERNELS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "Linear 64 → 32": ((64, 32), {}),
    "Conv 3×3, 64 → 32": ((3, 3, 64, 32), {}),
    "Conv 3×3, stride 2": ((3, 3, 64, 32), {}),
    "Conv 3×3, 4 groups": ((3, 3, 16, 32), {}),
    "Conv 3×3, depthwise": ((3, 3, 1, 64), {}),
    "ConvTranspose 4×4, stride 2": ((4, 4, 64, 32), {}),
    "8 experts 64 → 32": ((8, 64, 32), {"batch_axis": 0}),
}


def weight(layer: str, mode: str, seed: int) -> Any:
    """`variance_scaling`, told the axes where there is an argument for it."""
    shape, axes = KERNELS[layer]
    return np.asarray(initializers.variance_scaling(2.0, mode, "uniform", **axes)(jax.random.key(seed), shape, "f4"))


def library() -> Library:
    """The column."""
    layers = {name: lambda mode, seed, name=name: weight(name, mode, seed) for name in KERNELS}
    return Library("jax", jax.__version__, OFFERS, layers)
