"""Keras: `keras.initializers` with values from the stream, for any layer and any back end.

    layer = keras.layers.Dense(64, kernel_initializer=fanin.compat.keras.HeNormal(seed=0))

A weight is drawn under the path of its variable, so layers may share an initializer; its fans are those of its layer.
Zeros, Ones, Constant, Identity and STFT are Keras's own. To add a class: initializers.py, and a line in `CLASSES`.
"""

from fanin.errors import MissingExtra

try:
    import keras
except ModuleNotFoundError as error:
    if error.name != "keras":  # its back end is missing, and Keras says which
        raise
    raise MissingExtra("Keras", "keras", "fanin.compat.keras") from error

from fanin.compat.keras.initializers import (
    Fanin,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
)
from fanin.compat.keras.names import ALIASES, CLASSES, get

Constant = keras.initializers.Constant
Identity = keras.initializers.Identity
Initializer = keras.initializers.Initializer
Ones = keras.initializers.Ones
STFT = keras.initializers.STFT
Zeros = keras.initializers.Zeros

__all__ = [
    "ALIASES",
    "CLASSES",
    "STFT",
    "Constant",
    "Fanin",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "get",
]
