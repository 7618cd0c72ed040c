"""One initializer for all parameters that have none of their own."""

from __future__ import annotations

from typing import Any

import paddle

from fanin.compat.paddle.layouts import layer_in_the_making


def set_global_initializer(weight_init: Any, bias_init: Any = None) -> None:
    """As `paddle.nn.initializer.set_global_initializer`, but scales of norms stay at 1 and their shifts at 0.

    Paddle's own counts the scale of a BatchNorm or LayerNorm as a weight, and draws it at random.

    Args:
        weight_init: for weights; None ends it.
        bias_init: for biases.
    """
    paddle.nn.initializer.set_global_initializer(
        None if weight_init is None else _ButNorms(weight_init, 1.0),
        None if bias_init is None else _ButNorms(bias_init, 0.0),
    )


class _ButNorms(paddle.nn.initializer.Initializer):  # type: ignore[misc]  # Paddle has no types
    """An initializer for every layer that is no norm, and a constant for those."""

    def __init__(self, others: Any, value: float) -> None:
        super().__init__()
        self.others, self.norms = others, paddle.nn.initializer.Constant(value)

    def __call__(self, param: Any, block: Any = None) -> Any:
        """That of the layer in the making."""
        layer = layer_in_the_making()
        norm = any(base.__module__ == "paddle.nn.layer.norm" for base in type(layer).__mro__)
        return (self.norms if norm else self.others)(param, block)
