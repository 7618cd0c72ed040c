"""How a framework stores a weight whose logical shape is (out, in, *kernel), and what its fans are.

A weight whose rank is not the one that its operation has is some addition of the user's own: read `by_rank`.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.graph.fans import Axis, Fans, WeightUse, axes_of, fans, fans_of_axes


@dataclass(frozen=True)
class Layout:
    """Where the axes of the logical weight lie in the stored one.

    Attributes:
        axes: the stored axes in the order of the logical weight: out, in, kernel.
        shape: the logical shape; several stored axes may make one of its axes.
        fans: None where the layer gives no meaning to fans.
    """

    axes: tuple[int, ...]
    shape: tuple[int, ...]
    fans: Fans | None = None

    def stored(self, values: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """The logical weight's values, in row-major order, as the framework stores them."""
        permuted = values.reshape([shape[axis] for axis in self.axes])
        return np.asarray(permuted.transpose(np.argsort(self.axes)), order="C")

    def logical(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The logical weight that an array holds: what `stored` undoes."""
        return np.asarray(stored.transpose(self.axes).reshape(self.shape), order="C")

    def with_fans(self, fan_in: float | None, fan_out: float | None) -> Layout:
        """The same, with the fans that are given in the place of the layer's; one alone is both where it has none.

        Raises:
            BadInput: a fan that is not a finite number above 0.
        """
        for label, fan in (("fan_in", fan_in), ("fan_out", fan_out)):
            check_fan(label, fan)
        given = fan_in if fan_in is not None else fan_out
        if given is None:
            return self
        known = self.fans or Fans(given, given)
        return replace(
            self,
            fans=Fans(known.fan_in if fan_in is None else fan_in, known.fan_out if fan_out is None else fan_out),
        )


def check_fan(label: str, fan: object) -> None:
    """None, or a finite number above 0.

    Raises:
        BadInput: neither.
    """
    known = fan is None or (
        isinstance(fan, (int, float)) and not isinstance(fan, bool) and 0 < fan <= sys.float_info.max
    )
    if not known:
        raise BadInput(f"{label}: expected a finite number above 0; got {fan!r}.")


def as_stored(shape: tuple[int, ...], known: Fans | None = None) -> Layout:
    """Biases, scales, embeddings: the logical weight is the stored one.

    Example:
        >>> as_stored((3,))
        Layout(axes=(0,), shape=(3,), fans=None)
    """
    return Layout(tuple(range(len(shape))), shape, known)


def matrix(shape: tuple[int, ...], *, parts: int = 1) -> Layout:
    """Stored (in, out), for x @ W; `parts` gates are packed along the outputs.

    Example:
        >>> matrix((256, 128)).shape
        (128, 256)
    """
    if len(shape) != 2:
        return by_rank(shape)
    logical = (shape[1], shape[0])
    return Layout((1, 0), logical, fans(logical, WeightUse(parts=parts)))


def kernel_first(
    shape: tuple[int, ...], *, groups: int = 1, stride: tuple[int, ...] = (), transposed: bool = False, parts: int = 1
) -> Layout:
    """Stored (*kernel, in, out) or, transposed, (*kernel, out, in); the logical weights are those of PyTorch.

    Example:
        >>> kernel_first((3, 3, 1, 64), groups=64).fans
        Fans(fan_in=9, fan_out=9)
    """
    kernel = len(shape) - 2
    if kernel < 1:
        return by_rank(shape)
    axes = (kernel + 1, kernel, *range(kernel))
    logical = tuple(shape[axis] for axis in axes)
    return Layout(axes, logical, conv_fans(logical, groups=groups, stride=stride, transposed=transposed, parts=parts))


def depthwise(shape: tuple[int, ...], *, stride: tuple[int, ...] = ()) -> Layout:
    """Stored (*kernel, channels, multiplier); logically (channels · multiplier, 1, *kernel) in groups of one channel.

    Example:
        >>> depthwise((3, 3, 64, 2))
        Layout(axes=(2, 3, 0, 1), shape=(128, 1, 3, 3), fans=Fans(fan_in=9, fan_out=18))
    """
    kernel = len(shape) - 2
    if kernel < 1:
        return by_rank(shape)
    channels, multiplier = shape[-2:]
    logical = (channels * multiplier, 1, *shape[:-2])
    axes = (kernel, kernel + 1, *range(kernel))
    return Layout(axes, logical, conv_fans(logical, groups=channels, stride=stride))


def conv_fans(
    logical: tuple[int, ...],
    *,
    groups: int = 1,
    stride: tuple[int, ...] = (),
    transposed: bool = False,
    parts: int = 1,
) -> Fans:
    """Of a convolution's weight as PyTorch stores it: (out, in, *kernel) or, transposed, (in, out, *kernel)."""
    axes = axes_of(len(logical))
    if transposed:
        axes = (Axis.IN, Axis.OUT, *axes[2:])
    return fans(logical, WeightUse(axes, groups, stride, transposed, parts))


def by_rank(shape: tuple[int, ...]) -> Layout:
    """What a shape alone can say: a vector has no fans; anything else is (*kernel, in, out)."""
    if len(shape) < 2:
        return as_stored(shape)
    return matrix(shape) if len(shape) == 2 else kernel_first(shape)


def by_axes(shape: tuple[int, ...], in_axis: int, out_axis: int) -> Layout:
    """By the axes that count inputs and outputs; the others are a kernel, in their order. A vector has no fans.

    Example:
        >>> by_axes((3, 3, 64, 128), in_axis=-2, out_axis=-1) == by_rank((3, 3, 64, 128))
        True

    Raises:
        BadInput: the tensor does not have those axes, or they are one.
    """
    if len(shape) < 2:
        return as_stored(shape)
    known = fans_of_axes(shape, in_axis=in_axis, out_axis=out_axis)
    out, into = out_axis % len(shape), in_axis % len(shape)
    axes = (out, into, *(axis for axis in range(len(shape)) if axis not in {out, into}))
    return Layout(axes, tuple(shape[axis] for axis in axes), known)


def by_equation(equation: str, shape: tuple[int, ...]) -> Layout:
    """The kernel of `einsum(equation, x, kernel)`: axes that only the output has besides it are out, those of x are in.

    An axis that both have is a copy: one weight for each of its places.

    Example:
        >>> by_equation("abc,cde->abde", (64, 8, 16))  # 8 heads of 16
        Layout(axes=(1, 2, 0), shape=(128, 64), fans=Fans(fan_in=64, fan_out=128))
    """
    left, _, output = equation.replace(" ", "").replace("...", "").partition("->")
    x, _, kernel = left.partition(",")
    if len(kernel) != len(shape):
        return by_rank(shape)
    copies = [axis for axis, letter in enumerate(kernel) if letter in x and letter in output]
    outs = [axis for axis, letter in enumerate(kernel) if letter in output and letter not in x]
    ins = [axis for axis, letter in enumerate(kernel) if letter not in output]
    groups, n_out, n_in = (math.prod(shape[axis] for axis in axes) for axes in (copies, outs, ins))
    logical = (groups * n_out, n_in)
    return Layout((*copies, *outs, *ins), logical, fans(logical, WeightUse(groups=groups)))
