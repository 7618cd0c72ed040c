"""Paddle: `paddle.nn.initializer` with values from the stream, in dynamic mode.

    paddle.nn.Linear(8, 4, weight_attr=paddle.ParamAttr(initializer=fanin.compat.paddle.KaimingNormal(seed=0)))

A parameter is drawn under its name, so that layers may share an initializer; its fans are those of its layer.
Constant, Assign and Dirac are Paddle's own. To add a class: initializers.py, and its name here.
"""

from fanin.errors import MissingExtra

try:
    import paddle
except ModuleNotFoundError as error:
    if error.name != "paddle":
        raise
    raise MissingExtra("PaddlePaddle", "paddle", "fanin.compat.paddle") from error

from fanin.compat.paddle.everywhere import set_global_initializer
from fanin.compat.paddle.gains import calculate_gain
from fanin.compat.paddle.initializers import (
    Bilinear,
    Fanin,
    KaimingNormal,
    KaimingUniform,
    Normal,
    Orthogonal,
    TruncatedNormal,
    Uniform,
    XavierNormal,
    XavierUniform,
)

Assign = paddle.nn.initializer.Assign
Constant = paddle.nn.initializer.Constant
Dirac = paddle.nn.initializer.Dirac

__all__ = [
    "Assign",
    "Bilinear",
    "Constant",
    "Dirac",
    "Fanin",
    "KaimingNormal",
    "KaimingUniform",
    "Normal",
    "Orthogonal",
    "TruncatedNormal",
    "Uniform",
    "XavierNormal",
    "XavierUniform",
    "calculate_gain",
    "set_global_initializer",
]
