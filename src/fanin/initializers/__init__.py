"""WHAT: laws for drawing initial values, one law or family a file.

An `Initializer` is a frozen description: it says its moments and draws from the stream.
To add one: a file with a dataclass deriving from `Initializer`, and a line in `ALL`.
"""

from collections.abc import Callable
from typing import Final

from fanin.initializers.base import Initializer, Law, Target
from fanin.initializers.constant import Constant, Ones, Zeros
from fanin.initializers.keep import Keep
from fanin.initializers.normal import Normal
from fanin.initializers.orthogonal import Orthogonal
from fanin.initializers.sparse import Sparse
from fanin.initializers.spelling import from_dict, initializer, to_dict
from fanin.initializers.truncated_normal import TruncatedNormal
from fanin.initializers.uniform import Uniform
from fanin.initializers.variance_scaling import (
    VarianceScaling,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
    torch_uniform,
)

ALL: Final[dict[str, Callable[..., Initializer]]] = {
    "zeros": Zeros,
    "ones": Ones,
    "constant": Constant,
    "uniform": Uniform,
    "normal": Normal,
    "truncated_normal": TruncatedNormal,
    "variance_scaling": VarianceScaling,
    "glorot_uniform": glorot_uniform,
    "glorot_normal": glorot_normal,
    "he_uniform": he_uniform,
    "he_normal": he_normal,
    "lecun_uniform": lecun_uniform,
    "lecun_normal": lecun_normal,
    "torch_uniform": torch_uniform,
    "orthogonal": Orthogonal,
    "sparse": Sparse,
    "keep": Keep,
}

__all__ = [
    "ALL",
    "Constant",
    "Initializer",
    "Keep",
    "Law",
    "Normal",
    "Ones",
    "Orthogonal",
    "Sparse",
    "Target",
    "TruncatedNormal",
    "Uniform",
    "VarianceScaling",
    "Zeros",
    "from_dict",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "initializer",
    "lecun_normal",
    "lecun_uniform",
    "to_dict",
    "torch_uniform",
]
