"""What a Keras model holds: its trainable variables by path, and their values through NumPy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import keras
import numpy as np

from fanin.errors import BadInput, NoParameters
from fanin.frameworks.held import Array
from fanin.frameworks.keras.layouts import layout_in
from fanin.graph import Held

OLDEST: Final = (3, 15)


@dataclass(frozen=True)
class Variables:
    """The trainable variables of a model, in the order of `model.weights`.

    Attributes:
        held: each with its layout, by path.
        stored: the variables themselves, by path.
        path_of: a variable's id → its path.
    """

    held: Mapping[str, Held]
    stored: Mapping[str, Any]
    path_of: Mapping[int, str]


def variables(model: Any) -> Variables:
    """Read a model.

    Raises:
        BadInput: not a Keras model, not built yet, or two variables of one path.
        NoParameters: it has none that can be trained.
    """
    require_built(model)
    owned: dict[int, tuple[Any, Any]] = {}
    for layer in layers_of(model):
        for variable in layer._trainable_variables:
            owned.setdefault(id(variable), (layer, variable))
    found = [owned[id(v)] for v in model.weights if id(v) in owned]
    if not found:
        raise NoParameters(f"{type(model).__name__} has no trainable variables: there is nothing to initialize.")
    paths = [path_in(model, variable.path) for _, variable in found]
    if twice := [path for path, count in Counter(paths).items() if count > 1]:
        raise BadInput(
            f"{len(twice)} path(s) are those of two variables: {', '.join(twice[:5])}. "
            "Values are drawn under the path: give sibling layers names of their own."
        )
    held = {path: _held(layer, variable, path) for path, (layer, variable) in zip(paths, found, strict=True)}
    stored = {path: variable for path, (_, variable) in zip(paths, found, strict=True)}
    return Variables(held, stored, {id(variable): path for path, variable in stored.items()})


def _held(layer: Any, variable: Any, path: str) -> Held:
    shape = tuple(map(int, variable.shape))
    layout = layout_in(layer, variable.name, shape)
    dtype = keras.backend.standardize_dtype(variable.dtype)
    return Held(path, shape, layout, dtype, not variable.trainable, owner=classes_of(layer))


def classes_of(layer: Any) -> tuple[str, ...]:
    """The classes of a layer, Keras's own also as users import them, such as keras.layers.Dense."""
    found: dict[str, None] = {}
    for base in type(layer).__mro__:
        if base is object or base.__module__.partition(".")[0] == "torch":
            continue
        found[f"{base.__module__}.{base.__qualname__}"] = None
        if base.__module__.startswith("keras.src.") and getattr(keras.layers, base.__name__, None) is base:
            found[f"keras.layers.{base.__name__}"] = None
    return tuple(found)


def layers_of(model: Any) -> Iterator[Any]:
    """The model and every layer inside it."""
    yield from model._flatten_layers()


def path_in(model: Any, path: str) -> str:
    """A path without the model's own name, which Keras numbers as long as the process lives."""
    return path.removeprefix(f"{model.name}/")


def layer_path(model: Any, layer: Any) -> str:
    """Where a layer is in the model; "" for the model itself."""
    return "" if layer is None or layer is model else path_in(model, layer.path or layer.name)


def require_version(version: str) -> None:
    """What is read of Keras beyond its documented interface was tried with these versions.

    Raises:
        BadInput: an older one.
    """
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise BadInput(
            f"Models are read of Keras {'.'.join(map(str, OLDEST))} and newer; this is {version}. "
            "Install it: pip install 'fanin[keras]'"
        )


def require_built(model: Any) -> None:
    """Only a model that was called, or built, has variables.

    Raises:
        BadInput: not a Keras model, or it has none yet; says how to make them.
    """
    require_version(keras.__version__)
    if not isinstance(model, keras.layers.Layer):
        raise BadInput(f"Expected a model or layer of Keras; got {type(model).__name__}.")
    unbuilt = [layer.name for layer in layers_of(model) if not layer.built]
    if unbuilt and not (model.built and model.weights):
        raise BadInput(
            f"{type(model).__name__} has no variables yet: {', '.join(unbuilt[:5])} "
            f"{'is' if len(unbuilt) == 1 else 'are'} not built. Give an example, plan(model, x), or build it: "
            "model.build((None, 64)), or model(x)."
        )


def read(variable: Any) -> Array:
    """The values of a variable, on the host; of a dtype that NumPy does not have, as float32."""
    array = np.asarray(keras.ops.convert_to_numpy(variable.value))
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
