"""What a layer of Paddle does with a parameter, and hence its layout and fans.

To teach a layer: a line in `LAYOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import paddle

from fanin.compat.callers import callers
from fanin.compat.layout import Layout, as_stored, conv_fans, matrix
from fanin.graph import Axis, Fans, WeightUse, fans

Shape = tuple[int, ...]


def _conv(layer: Any, shape: Shape) -> Layout:
    return as_stored(shape, conv_fans(shape, groups=layer._groups, stride=tuple(layer._stride)))


def _conv_transposed(layer: Any, shape: Shape) -> Layout:
    known = conv_fans(shape, groups=layer._groups, stride=tuple(layer._stride), transposed=True)
    return as_stored(shape, known)


def _gates(parts: int) -> Callable[[Any, Shape], Layout]:
    return lambda _, shape: as_stored(shape, fans(shape, WeightUse(parts=parts)))


def _bilinear(_: Any, shape: Shape) -> Layout:
    """(out, first, second); its bias has two axes."""
    if len(shape) < 3:
        return as_stored(shape)
    return as_stored(shape, fans(shape, WeightUse((Axis.OUT, Axis.IN, Axis.KERNEL))))


LAYOUTS: Final[dict[str, Callable[[Any, Shape], Layout]]] = {
    "Linear": lambda _, shape: matrix(shape),
    "Embedding": lambda _, shape: as_stored(shape, Fans(shape[-1], shape[-1])),  # rows of norm 1 under variance 1/fan
    "Bilinear": _bilinear,
    "SimpleRNNCell": _gates(1),
    "LSTMCell": _gates(4),
    "GRUCell": _gates(3),
    "Conv1D": _conv,
    "Conv2D": _conv,
    "Conv3D": _conv,
    "Conv1DTranspose": _conv_transposed,
    "Conv2DTranspose": _conv_transposed,
    "Conv3DTranspose": _conv_transposed,
}


def layer_in_the_making() -> Any:
    """The layer whose constructor makes a parameter; None elsewhere."""
    return next(callers(paddle.nn.Layer), None)


def layout_of(layer: Any, shape: Shape) -> Layout:
    """By the layer; by the shape where its class is none of Paddle's: (in, out), or (out, in, *kernel)."""
    if len(shape) < 2:
        return as_stored(shape)
    for base in type(layer).__mro__:
        if base.__module__.partition(".")[0] == "paddle" and base.__name__ in LAYOUTS:
            return LAYOUTS[base.__name__](layer, shape)
    return matrix(shape) if len(shape) == 2 else as_stored(shape, conv_fans(shape))
