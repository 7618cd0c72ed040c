"""The gain of a nonlinearity, as Paddle writes it."""

from __future__ import annotations

import paddle

from fanin.activations import moments


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """What `paddle.nn.initializer.calculate_gain` returns; where that knows nothing, 1/√E φ² from `fanin.gain`.

    Paddle's table has conventions for tanh (5/3), sigmoid (1) and selu (3/4): docs/activations.md compares.

    Args:
        param: the negative slope of leaky_relu; 0.01 if None.

    Raises:
        UnknownName: an activation that neither knows.

    Example:
        >>> calculate_gain("tanh"), round(calculate_gain("gelu"), 4)
        (1.6666666666666667, 1.5335)
    """
    try:
        return float(paddle.nn.initializer.calculate_gain(nonlinearity, param))
    except ValueError:  # not in its table
        return moments(nonlinearity).forward
