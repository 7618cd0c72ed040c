"""Initializers that a user has given to layers of Keras."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import keras

from fanin.frameworks.keras.variables import layers_of, variables


def given_initializers(model: Any) -> Iterator[tuple[str, str]]:
    """Path of a variable → the name of the initializer that its layer was given in the place of its default."""
    own = variables(model)
    for layer in layers_of(model):
        for variable in layer._trainable_variables:
            initializer = getattr(layer, f"{_argument(variable.name)}_initializer", None)
            if (
                initializer is not None
                and id(variable) in own.path_of
                and not _is_default(layer, variable, initializer)
            ):
                yield own.path_of[id(variable)], type(initializer).__name__


def _argument(variable: str) -> str:
    """As the layer calls it: `recurrent_kernel` has `recurrent_initializer`."""
    return "recurrent" if variable == "recurrent_kernel" else variable


def _is_default(layer: Any, variable: Any, initializer: Any) -> bool:
    name = f"{_argument(variable.name)}_initializer"
    for base in type(layer).__mro__:
        parameter = inspect.signature(vars(base).get("__init__", object.__init__)).parameters.get(name)
        if parameter is not None and parameter.default is not inspect.Parameter.empty:
            default = keras.initializers.get(parameter.default)
            return type(default) is type(initializer) and _settings(default) == _settings(initializer)
    return True


def _settings(initializer: Any) -> dict[str, Any]:
    return {name: value for name, value in initializer.get_config().items() if name != "seed"}
