"""What a layer of Keras does with a variable: the variable being made, its layer, and hence its layout and fans.

To teach a layer: a line in `LAYOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import keras

from fanin.compat.callers import callers
from fanin.compat.layout import Layout, as_stored, by_equation, by_rank, depthwise, kernel_first, matrix
from fanin.graph import Fans

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


def variable_in_the_making() -> Any:
    """The variable whose constructor or deferred initialization calls; None where an initializer is called by hand."""
    return next(callers(keras.Variable), None)


def layout_of(variable: Any, shape: Shape) -> Layout:
    """By the layer that the variable belongs to; by its shape where that layer is of a class Keras does not have."""
    if variable is None or tuple(variable.shape) != shape:
        return by_rank(shape)
    layer = _owner(variable)
    for base in type(layer).__mro__:
        if base.__module__.partition(".")[0] == "keras" and base.__name__ in LAYOUTS:
            if "kernel" in variable.name or "embeddings" in variable.name:
                return LAYOUTS[base.__name__](layer, variable.name, shape)
            return as_stored(shape)  # a bias
    return by_rank(shape)


def _owner(variable: Any) -> Any:
    """The layer in whose `add_weight` the variable is made.

    Of a layer without `build`, Keras traces the call first, and makes the variables of what is inside when it is done:
    then the layer being called is on the stack, and the variable belongs to one inside it.
    """
    innermost = next(callers(keras.layers.Layer), None)
    inside = innermost._flatten_layers() if innermost is not None else ()
    owners = (layer for layer in inside if any(own is variable for own in _own_variables(layer)))
    return next(owners, innermost)


def _own_variables(layer: Any) -> list[Any]:
    return [*layer._trainable_variables, *layer._non_trainable_variables]
