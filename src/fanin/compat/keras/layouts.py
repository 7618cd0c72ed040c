"""What a layer of Keras does with a variable: the variable being made, its layer, and hence its layout and fans."""

from __future__ import annotations

from typing import Any

import keras

from fanin.compat.callers import callers
from fanin.frameworks.keras.layouts import Shape, layout_in
from fanin.graph import Layout
from fanin.graph.layout import by_rank


def variable_in_the_making() -> Any:
    """The variable whose constructor or deferred initialization calls; None where an initializer is called by hand."""
    return next(callers(keras.Variable), None)


def layout_of(variable: Any, shape: Shape) -> Layout:
    """By the layer that the variable belongs to; by its shape where that layer is of a class Keras does not have."""
    if variable is None or tuple(variable.shape) != shape:
        return by_rank(shape)
    return layout_in(_owner(variable), variable.name, shape)


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
