"""What the axes of a JAX kernel count: the fans, and the order in which the stream runs through them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fanin.errors import BadInput
from fanin.graph import Fans

Axes: TypeAlias = int | Sequence[int]


@dataclass(frozen=True)
class Layout:
    """Which axes of a kernel are inputs, outputs, and stacked kernels; the others are the window of a convolution.

    Axes count from the end if negative. `Layout((), (), ())` says nothing of them: plain row-major order.
    """

    in_axis: Axes = -2
    out_axis: Axes = -1
    batch_axis: Axes = ()

    def __post_init__(self) -> None:
        for label in ("in_axis", "out_axis", "batch_axis"):  # as tuples, so that equal layouts are equal and hashable
            axes = getattr(self, label)
            object.__setattr__(self, label, axes if isinstance(axes, int) else tuple(axes))

    def order(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The axes from the slowest to the fastest: batch, out, in, window.

        Example:
            >>> Layout().order((3, 3, 16, 32))  # height, width, in, out: the order of a PyTorch kernel
            (3, 2, 0, 1)
        """
        if len(shape) < 2:
            return tuple(range(len(shape)))
        known = [*self._of(shape, "batch_axis"), *self._of(shape, "out_axis"), *self._of(shape, "in_axis")]
        return tuple(dict.fromkeys([*known, *range(len(shape))]))

    def fans(self, shape: tuple[int, ...]) -> Fans:
        """Inputs, or outputs, times the window: all that is neither on the other side nor stacked.

        An axis on both sides counts for neither: a table of embeddings, in_axis = out_axis = 0, has fan_in dim.

        Raises:
            BadInput: the shape has no such axes.

        Example:
            >>> Layout().fans((3, 3, 16, 32))
            Fans(fan_in=144, fan_out=288)
            >>> Layout(out_axis=0).fans((1000, 64))
            Fans(fan_in=64, fan_out=64)
        """
        if len(shape) < 2 and self.in_axis == -2:
            raise BadInput(
                f"Can't compute input and output sizes of a {len(shape)}-dimensional weights tensor with default "
                f"in_axis. Must be at least 2D or specify in_axis explicitly. Got shape {shape}; "
                "for biases and scales, use zeros, ones or normal."
            )
        batch, ins, outs = (
            math.prod(shape[axis] for axis in self._of(shape, label)) for label in ("batch_axis", "in_axis", "out_axis")
        )
        return Fans(_ratio(math.prod(shape), batch * outs), _ratio(math.prod(shape), batch * ins))

    def _of(self, shape: tuple[int, ...], label: str) -> tuple[int, ...]:
        axes = getattr(self, label)
        chosen = (axes,) if isinstance(axes, int) else axes
        if not all(-len(shape) <= axis < len(shape) for axis in chosen):
            raise BadInput(f"{label}={axes!r}: a kernel of shape {shape} has no such axis.")
        return tuple(axis % len(shape) for axis in chosen)


def _ratio(connections: int, across: int) -> float:
    return connections // across if connections % across == 0 else connections / across
