"""How Paddle's layers store their weights, and what the fans of those are.

To teach a layer: a line in `LAYOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fanin.graph import Axis, Fans, Layout, WeightUse, fans
from fanin.graph.layout import as_stored, conv_fans, matrix

Shape = tuple[int, ...]


def _conv(layer: Any, shape: Shape) -> Layout:
    return as_stored(shape, conv_fans(shape, groups=layer._groups, stride=tuple(layer._stride)))


def _conv_transposed(layer: Any, shape: Shape) -> Layout:
    known = conv_fans(shape, groups=layer._groups, stride=tuple(layer._stride), transposed=True)
    return as_stored(shape, known)


def _gates(parts: int) -> Callable[[Any, Shape], Layout]:
    return lambda _, shape: as_stored(shape, fans(shape, WeightUse(parts=parts)))


def _bilinear(_: Any, shape: Shape) -> Layout:
    return as_stored(shape, fans(shape, WeightUse((Axis.OUT, Axis.IN, Axis.KERNEL))))


# Class → the number of axes of its weight, and its layout; other parameters of the class are read by their shape.
LAYOUTS: Final[dict[str, tuple[int, Callable[[Any, Shape], Layout]]]] = {
    "Linear": (2, lambda _, shape: matrix(shape)),
    "Embedding": (2, lambda _, shape: as_stored(shape, Fans(shape[1], shape[1]))),  # rows of norm 1 under 1/fan
    "Bilinear": (3, _bilinear),
    "SimpleRNNCell": (2, _gates(1)),
    "LSTMCell": (2, _gates(4)),
    "GRUCell": (2, _gates(3)),
    "Conv1D": (3, _conv),
    "Conv2D": (4, _conv),
    "Conv3D": (5, _conv),
    "Conv1DTranspose": (3, _conv_transposed),
    "Conv2DTranspose": (4, _conv_transposed),
    "Conv3DTranspose": (5, _conv_transposed),
}


def known_layout(layer: Any, shape: Shape) -> Layout | None:
    """By the layer; None where its class is none of Paddle's that have weights."""
    for base in type(layer).__mro__:
        axes, layout = LAYOUTS.get(base.__name__, (0, None))
        if layout and base.__module__.partition(".")[0] == "paddle" and axes == len(shape):
            return layout(layer, shape)
    return None
