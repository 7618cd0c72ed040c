"""Bilinear upsampling by a transposed convolution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.initializers.base import Law, Target
from fanin.initializers.by_index import ByIndex, Indices, fixed_law, require_kernel


@dataclass(frozen=True)
class Bilinear(ByIndex):
    """The kernel with which a transposed convolution interpolates linearly along each axis, channel by channel.

    `w_i = 1 − |i − (k − 1)/2| / f`, f = ⌈k/2⌉ the factor of upsampling, multiplied over the axes: symmetric for
    even and odd k, and with stride f the shifted kernels sum to 1. Use k = 2 f − f mod 2 and padding (k − f)//2.
    Channel c goes to channel c; or each to its own where there is one input a group (depthwise).

    Reference: Long, Shelhamer & Darrell 2015, "Fully convolutional networks", §3.3.
    Not for: layers that change the number of channels.

    Example:
        >>> Bilinear().draw(Target("up.weight", (1, 1, 4)), seed=0)
        array([0.25, 0.75, 0.75, 0.25], dtype=float32)
    """

    def law(self, target: Target) -> Law:
        """Of all elements together."""
        first, second, kernel = require_kernel(self, target)
        if second not in (first, 1):
            raise BadInput(
                f"{self} hands each channel on by itself, with shape (C, C, *kernel) or, depthwise, (C, 1, *kernel); "
                f"{target.name!r} has shape {target.shape}."
            )
        tents = [_tent(k, np.arange(k)) / (2 * _factor(k)) for k in kernel]
        total, squares = (math.prod(float(np.sum(tent**power)) for tent in tents) for power in (1, 2))
        largest = math.prod(float(tent.max(initial=0.0)) for tent in tents)
        return fixed_law(first * total, first * squares, target.size, 0.0, largest)

    def at(self, shape: tuple[int, ...], place: tuple[Indices, ...]) -> npt.NDArray[np.float64]:
        """One quotient of integers, rounded once."""
        product = np.where((place[0] == place[1]) | (shape[1] == 1), 1, 0)
        for k, index in zip(shape[2:], place[2:], strict=True):
            product = product * _tent(k, index)
        return product / math.prod(2 * _factor(k) for k in shape[2:])


def _factor(k: int) -> int:
    return (k + 1) // 2


def _tent(k: int, index: Indices) -> Indices:
    """2 f w_i, an integer."""
    tent: Indices = 2 * _factor(k) - np.abs(2 * index - (k - 1))
    return tent
