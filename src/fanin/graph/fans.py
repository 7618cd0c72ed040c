"""Fans from what a layer does, not from the rank of its weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from fanin.errors import BadInput, UnknownName


class Axis(StrEnum):
    """What one axis of a weight counts."""

    OUT = "out"
    IN = "in"
    KERNEL = "kernel"


def axes_of(rank: int, named: Sequence[str] | None = None) -> tuple[Axis, ...]:
    """What the axes of a weight of that rank count: as named, or (out, in, kernel, …), PyTorch's order.

    Example:
        >>> [str(axis) for axis in axes_of(3)]
        ['out', 'in', 'kernel']

    Raises:
        BadInput: not one name for each axis.
        UnknownName: no such kind of axis.
    """
    if named is None:
        return tuple(Axis(name) for name in ("out", "in", *["kernel"] * (rank - 2))[:rank])
    for name in named:
        if name not in tuple(Axis):
            raise UnknownName("kind of axis", name, Axis)
    if len(named) != rank:
        raise BadInput(f"Expected a name for each of {rank} axes; got {list(map(str, named))}.")
    return tuple(map(Axis, named))


@dataclass(frozen=True)
class Fans:
    """How many terms meet in one output element (fan_in) and how many outputs one input element reaches (fan_out).

    Both are averages over positions, so a strided convolution may have a fractional fan_out.
    """

    fan_in: float
    fan_out: float

    def __post_init__(self) -> None:
        for name in ("fan_in", "fan_out"):
            fan = getattr(self, name)
            if not (isinstance(fan, (int, float)) and 0 <= fan < math.inf):
                raise BadInput(f"Fans: {name} must be a finite number, at least 0; got {fan!r}.")

    def of(self, mode: str) -> float:
        """The fan that `mode` names: fan_in, fan_out, or their arithmetic (fan_avg) or geometric mean (fan_geo_avg)."""
        means = {
            "fan_in": self.fan_in,
            "fan_out": self.fan_out,
            "fan_avg": (self.fan_in + self.fan_out) / 2,
            "fan_geo_avg": math.sqrt(self.fan_in * self.fan_out),
        }
        return means[mode]


@dataclass(frozen=True)
class WeightUse:
    """How an operation uses its weight.

    Attributes:
        axes: what each axis of the weight counts.
        groups: the number of independent groups of channels. The weight's first axis counts all groups, the second one
            group, as PyTorch stores convolutions.
        stride: the step between positions of the output (or, transposed, of the input) along each kernel axis.
        transposed: the kernel spreads each input over the output (transposed convolution) instead of gathering.
        parts: the number of independent weights packed along the out axis (the gates of an LSTM).
    """

    axes: tuple[Axis, ...] = (Axis.OUT, Axis.IN)
    groups: int = 1
    stride: tuple[int, ...] = ()
    transposed: bool = False
    parts: int = 1


def fans(shape: tuple[int, ...], use: WeightUse) -> Fans:
    """Connections into one output element and out of one input element.

    With n_in and n_out the channels of one group, K = Π kernel and s = Π stride:

        gather:  fan_in = n_in K        fan_out = n_out K / s
        spread:  fan_in = n_in K / s    fan_out = n_out K

    Positions lost at a padded border are not counted.

    Example:
        >>> conv = (Axis.OUT, Axis.IN, Axis.KERNEL, Axis.KERNEL)
        >>> fans((64, 1, 3, 3), WeightUse(conv, groups=64))  # depthwise: 9 in, and 9 out, not 576
        Fans(fan_in=9, fan_out=9)

    Raises:
        BadInput: the weight does not have one axis for each of `use.axes`.
    """
    if len(shape) != len(use.axes):
        raise BadInput(f"A weight with axes ({', '.join(use.axes)}) has {len(use.axes)} axes; got shape {shape}.")
    size = {axis: math.prod(n for n, a in zip(shape, use.axes, strict=True) if a is axis) for axis in Axis}
    grouped = use.axes[0]  # counts the channels of all groups
    size[grouped] //= use.groups
    size[Axis.OUT] //= use.parts
    kernel, step = size[Axis.KERNEL], math.prod(use.stride)
    fan_in, fan_out = size[Axis.IN] * kernel, size[Axis.OUT] * kernel
    return Fans(_divide(fan_in, step), fan_out) if use.transposed else Fans(fan_in, _divide(fan_out, step))


def fans_of_axes(
    shape: tuple[int, ...],
    *,
    in_axis: int | tuple[int, ...] = 1,
    out_axis: int | tuple[int, ...] = 0,
    batch_axis: int | tuple[int, ...] = (),
) -> Fans:
    """Fans of a raw tensor by the axes that count its inputs, outputs and independent copies; the rest is a kernel.

    For a weight that no traced operation describes. Groups and strides are not seen in a shape: use `fans`.

    Example:
        >>> fans_of_axes((3, 3, 64, 128), in_axis=-2, out_axis=-1)  # a kernel of Keras or Flax: height, width, in, out
        Fans(fan_in=576, fan_out=1152)
        >>> fans_of_axes((8, 64, 16), in_axis=1, out_axis=2, batch_axis=0)  # eight experts
        Fans(fan_in=64, fan_out=16)

    Raises:
        BadInput: a scalar or a vector, an axis that the tensor does not have, or one axis named twice.
    """
    if len(shape) < 2:
        raise BadInput(
            f"A tensor of shape {shape} has no two axes to count inputs and outputs. "
            "Give the fans, Fans(fan_in=…, fan_out=…), or use an initializer with a fixed std: Normal(std=0.02)."
        )
    named = [_axes(axes, shape) for axes in (in_axis, out_axis, batch_axis)]
    flat = [axis for axes in named for axis in axes]
    if len(set(flat)) < len(flat):
        raise BadInput(
            f"in_axis, out_axis, batch_axis: expected each axis once; got {in_axis}, {out_axis}, {batch_axis}."
        )
    n_in, n_out, _ = (math.prod(shape[axis] for axis in axes) for axes in named)
    kernel = math.prod(n for axis, n in enumerate(shape) if axis not in flat)
    return Fans(n_in * kernel, n_out * kernel)


def _axes(axes: int | tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    chosen = (axes,) if isinstance(axes, int) else tuple(axes)
    for axis in chosen:
        if not -len(shape) <= axis < len(shape):
            raise BadInput(f"A tensor of shape {shape} has axes 0 … {len(shape) - 1}; got axis {axis}.")
    return tuple(axis % len(shape) for axis in chosen)


def _divide(connections: int, step: int) -> float:
    """The average number of connections; stays an int where it is one, so that tables read well."""
    return connections // step if connections % step == 0 else connections / step
