"""NumPy: an array from any law, or all arrays of a net, with the bits that seed and name have in every framework."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy.typing as npt

from fanin.compat.layout import draw as drawn
from fanin.errors import BadInput
from fanin.frameworks.numpy import Net, layer
from fanin.graph.layout import by_axes
from fanin.initializers import Initializer, initializer

__all__ = ["Net", "draw", "layer"]


def draw(
    law: str | Initializer,
    shape: Iterable[int],
    *,
    seed: int,
    name: str,
    dtype: str = "float32",
    in_axis: int = 1,
    out_axis: int = 0,
    fan_in: float | None = None,
    fan_out: float | None = None,
) -> npt.NDArray[Any]:
    """The initial value of one weight.

    The logical weight is (out, in, *kernel); the axes say how the array stores it, so that `in_axis=0, out_axis=1` is
    the transposed array, for x @ W.

    Args:
        law: an initializer, or its spelling such as "he_normal" or "normal(std=0.02)".
        shape: of the array.
        seed: an integer in [0, 2¹²⁸).
        name: of the parameter; two of one name are equal.
        dtype: float32, float64, float16 or bfloat16 (as its bit patterns in uint16, since NumPy has no such type).
        in_axis: the axis that counts inputs.
        out_axis: the axis that counts outputs. All other axes are a convolution's kernel.
        fan_in: where the shape does not say it: embeddings, biases, packed gates.
        fan_out: likewise: grouped and strided convolutions.

    Raises:
        BadInput: a shape, seed, name or axis that cannot be; a law that needs fans, for a vector.
        UnknownName: no such initializer or dtype.

    Example:
        >>> draw("he_normal", (2, 3), seed=0, name="weight").round(3)
        array([[-0.335, -0.754, -1.529],
               [ 0.079, -0.389,  0.466]], dtype=float32)
        >>> draw("he_normal", (3, 2), seed=0, name="weight", in_axis=0, out_axis=1).round(3)
        array([[-0.335,  0.079],
               [-0.754, -0.389],
               [-1.529,  0.466]], dtype=float32)
    """
    try:
        sizes = tuple(operator.index(size) for size in shape)
    except TypeError:
        raise BadInput(f"shape: expected integers such as (64, 128); got {shape!r}.") from None
    if min(sizes, default=0) < 0:
        raise BadInput(f"shape: expected sizes of at least 0; got {sizes}.")
    stored = by_axes(sizes, in_axis, out_axis).with_fans(fan_in, fan_out)
    return drawn(initializer(law), sizes, stored, seed=seed, name=name, dtype=dtype)
