"""What a layer of Paddle does with a parameter that it makes, and hence its layout and fans."""

from __future__ import annotations

from typing import Any

import paddle

from fanin.compat.callers import callers
from fanin.frameworks.paddle.layouts import Shape, known_layout
from fanin.graph.layout import Layout, as_stored, conv_fans, matrix


def layer_in_the_making() -> Any:
    """The layer whose constructor makes a parameter; None elsewhere."""
    return next(callers(paddle.nn.Layer), None)


def layout_of(layer: Any, shape: Shape) -> Layout:
    """By the layer; by the shape where its class is none of Paddle's: (in, out), or (out, in, *kernel)."""
    if len(shape) < 2:
        return as_stored(shape)
    known = known_layout(layer, shape)
    if known is not None:
        return known
    return matrix(shape) if len(shape) == 2 else as_stored(shape, conv_fans(shape))
