"""How Keras's layers store their weights, and what the fans of those are.

To teach a layer: a line in `LAYOUTS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from fanin.graph import Fans, Layout
from fanin.graph.layout import as_stored, by_equation, by_rank, depthwise, kernel_first, matrix

Shape = tuple[int, ...]


def _conv(layer: Any, _: str, shape: Shape) -> Layout:
    return kernel_first(shape, groups=layer.groups, stride=tuple(layer.strides))


def _separable(layer: Any, variable: str, shape: Shape) -> Layout:
    if variable == "depthwise_kernel":
        return depthwise(shape, stride=tuple(layer.strides))
    return kernel_first(shape)


def _embedding(_: Any, __: str, shape: Shape) -> Layout:
    return as_stored(shape, Fans(shape[-1], shape[-1]))  # rows of norm 1 under variance 1/fan, whatever the vocabulary


# Classes of Keras by name, base classes included, since those of convolutions are not public.
LAYOUTS: Final[dict[str, Callable[[Any, str, Shape], Layout]]] = {
    "Dense": lambda layer, _, shape: matrix(shape),
    "EinsumDense": lambda layer, _, shape: by_equation(layer.equation, shape),
    "Embedding": _embedding,
    "BaseConv": _conv,
    "BaseConvTranspose": lambda layer, _, shape: kernel_first(shape, stride=tuple(layer.strides), transposed=True),
    "BaseDepthwiseConv": lambda layer, _, shape: depthwise(shape, stride=tuple(layer.strides)),
    "BaseSeparableConv": _separable,
    "SimpleRNNCell": lambda layer, _, shape: matrix(shape),
    "LSTMCell": lambda layer, _, shape: matrix(shape, parts=4),
    "GRUCell": lambda layer, _, shape: matrix(shape, parts=3),
    "ConvLSTMCell": lambda layer, name, shape: kernel_first(
        shape, stride=tuple(layer.strides) if name == "kernel" else (), parts=4
    ),
}


def layout_in(layer: Any, name: str, shape: Shape) -> Layout:
    """Of a variable by that name, in a layer; by its shape where the layer is of a class that Keras does not have."""
    for base in type(layer).__mro__:
        if base.__module__.partition(".")[0] == "keras" and base.__name__ in LAYOUTS:
            if is_weight(name):
                return LAYOUTS[base.__name__](layer, name, shape)
            return _flat(shape) if base.__name__ == "EinsumDense" else as_stored(shape)
    return by_rank(shape)


def _flat(shape: Shape) -> Layout:
    """A number for each output: of (heads, width), one after the other."""
    return Layout(tuple(range(len(shape))), (math.prod(shape),))


def is_weight(name: str) -> bool:
    """Whether a variable is the kernel or the table of its layer, rather than a bias."""
    return "kernel" in name or "embeddings" in name
