"""Strings, configurations and whatever else Keras takes for an initializer."""

from __future__ import annotations

from typing import Any, Final

import keras

from fanin.compat.keras import initializers
from fanin.errors import UnknownName

CLASSES: Final[dict[str, Any]] = {
    "zeros": keras.initializers.Zeros,
    "ones": keras.initializers.Ones,
    "constant": keras.initializers.Constant,
    "identity": keras.initializers.Identity,
    "stft": keras.initializers.STFT,
    "random_normal": initializers.RandomNormal,
    "random_uniform": initializers.RandomUniform,
    "truncated_normal": initializers.TruncatedNormal,
    "variance_scaling": initializers.VarianceScaling,
    "glorot_normal": initializers.GlorotNormal,
    "glorot_uniform": initializers.GlorotUniform,
    "he_normal": initializers.HeNormal,
    "he_uniform": initializers.HeUniform,
    "lecun_normal": initializers.LecunNormal,
    "lecun_uniform": initializers.LecunUniform,
    "orthogonal": initializers.Orthogonal,
}
ALIASES: Final = {
    "zero": "zeros",
    "one": "ones",
    "normal": "random_normal",
    "uniform": "random_uniform",
    "IdentityInitializer": "identity",
    "OrthogonalInitializer": "orthogonal",
    "STFTInitializer": "stft",
}


def get(identifier: Any) -> Any:
    """As `keras.initializers.get`, with the classes of this package: the argument of a layer from what a user writes.

    Args:
        identifier: a name in snake_case or as the class is called, a configuration of Keras or of this package, a
            class, an initializer, a function of shape and dtype, an array, or None.

    Raises:
        UnknownName: there is no initializer of that name.
        ValueError: Keras can make nothing of it.

    Example:
        >>> type(get("he_normal")).__qualname__, get({"class_name": "HeNormal", "config": {"seed": 3}}).seed
        ('HeNormal', 3)
    """
    if isinstance(identifier, str):
        return _by_name(identifier)()
    if isinstance(identifier, dict) and _replaced(identifier):
        return _by_name(identifier["class_name"]).from_config(identifier.get("config", {}))
    return keras.initializers.get(identifier)


def _replaced(config: dict[str, Any]) -> bool:
    """Whether the configuration is of one of Keras's own classes."""
    own = config.get("module") in {None, "keras.initializers"} and not config.get("registered_name")
    return own and config.get("class_name") in _NAMES


def _by_name(name: str) -> Any:
    if name not in _NAMES:
        raise UnknownName("initializer", name, _NAMES)
    return _NAMES[name]


_NAMES: Final = (
    CLASSES | {alias: CLASSES[name] for alias, name in ALIASES.items()} | {c.__qualname__: c for c in CLASSES.values()}
)
