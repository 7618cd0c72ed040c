"""keras.initializers, seeded by an integer; the axes of a target in reverse order. The back end is PyTorch."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras  # it reads the back end when it is imported
import numpy as np
from keras import initializers, layers, ops
from libraries.base import Library, Offer

from fanin.initializers import (
    Initializer,
    Normal,
    Orthogonal,
    Target,
    Uniform,
    glorot_uniform,
    he_truncated_normal,
    keras_truncated_normal,
)
from fanin.testing import Foreign


def offer(name: str, law: Initializer, **arguments: Any) -> Offer:
    """`name` of keras.initializers, made with these arguments."""

    def call(target: Target, seed: int) -> Any:
        drawn = getattr(initializers, name)(**arguments, seed=seed)(target.shape[::-1], dtype=target.dtype)
        return ops.convert_to_numpy(ops.cast(drawn, "float64")).T

    return Offer(f"{name}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})", Foreign(call, law))


OFFERS = {
    "normal": offer("RandomNormal", Normal(0.02), stddev=0.02),
    "uniform": offer("RandomUniform", Uniform(-0.05, 0.05), minval=-0.05, maxval=0.05),
    "truncated normal": offer("TruncatedNormal", keras_truncated_normal(0.02), stddev=0.02),
    "He normal": offer("HeNormal", he_truncated_normal()),
    "Glorot uniform": offer("GlorotUniform", glorot_uniform()),
    "orthogonal": offer("Orthogonal", Orthogonal()),
}


def attention(how: Any) -> Any:
    """The query's kernel."""
    layer = layers.MultiHeadAttention(4, 16, kernel_initializer=how)
    layer.build((2, 5, 64), (2, 5, 64))
    return layer.query_dense.kernel


def built(layer: Any, shape: tuple[int, ...]) -> Any:
    """The kernel that the layer made for itself."""
    layer.build(shape)
    return layer.weights[0]


IMAGE = (1, 8, 8, 64)
KERNELS: dict[str, Callable[[Any], Any]] = {
    "Linear 64 → 32": lambda how: built(layers.Dense(32, kernel_initializer=how), (2, 64)),
    "Conv 3×3, 64 → 32": lambda how: built(layers.Conv2D(32, 3, kernel_initializer=how), IMAGE),
    "Conv 3×3, stride 2": lambda how: built(layers.Conv2D(32, 3, strides=2, kernel_initializer=how), IMAGE),
    "Conv 3×3, 4 groups": lambda how: built(layers.Conv2D(32, 3, groups=4, kernel_initializer=how), IMAGE),
    "Conv 3×3, depthwise": lambda how: built(layers.DepthwiseConv2D(3, depthwise_initializer=how), IMAGE),
    "ConvTranspose 4×4, stride 2": lambda how: built(
        layers.Conv2DTranspose(32, 4, strides=2, kernel_initializer=how), IMAGE
    ),
    "attention: q, k, v": attention,
}


def weight(layer: str, mode: str, seed: int) -> Any:
    """`VarianceScaling`, as the layer calls it."""
    how = initializers.VarianceScaling(2.0, mode, "uniform", seed=seed)
    return np.asarray(ops.convert_to_numpy(KERNELS[layer](how)))


def library() -> Library:
    """The column."""
    of_layers = {name: lambda mode, seed, name=name: weight(name, mode, seed) for name in KERNELS}
    return Library("keras", f"{keras.__version__} ({keras.config.backend()})", OFFERS, of_layers)
