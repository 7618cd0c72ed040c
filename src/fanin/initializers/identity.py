"""Weights that hand their input on: the identity, and the Dirac kernel of convolutions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.initializers.base import Law, Target, require_finite
from fanin.initializers.by_index import ByIndex, Indices, at_center, fixed_law, require_kernel, require_matrix


@dataclass(frozen=True)
class Identity(ByIndex):
    """gain on the diagonal, 0 elsewhere; a matrix that is not square hands on as many inputs as it can.

    Reference: for ReLU nets and recurrent weights, Le, Jaitly & Hinton 2015, "A simple way to initialize recurrent
    networks of rectified linear units".
    Not for: hidden layers in which every unit should differ; a rectangular identity leaves the rest of its units at 0.

    Example:
        >>> Identity(gain=0.5).draw(Target("weight", (2, 3)), seed=0).reshape(2, 3)
        array([[0.5, 0. , 0. ],
               [0. , 0.5, 0. ]], dtype=float32)
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        require_finite(self, ["gain"])

    def law(self, target: Target) -> Law:
        """Of all elements together: min(rows, columns) of them are `gain`."""
        return spikes(self.gain, min(require_matrix(self, target)), target)

    def at(self, shape: tuple[int, ...], place: tuple[Indices, ...]) -> npt.NDArray[np.float64]:
        """`gain` where row and column are the same."""
        return np.where(place[0] == place[1], self.gain, 0.0)


@dataclass(frozen=True)
class Dirac(ByIndex):
    """A convolution that hands its channels on: `gain` at the kernel's center from input c to output c, in each group.

    The center is k // 2, as in torch's `dirac_`: of an even kernel the one that `padding=k // 2` aligns, not the one of
    `padding="same"`. Outputs beyond a group's inputs stay 0.

    Args:
        groups: of the convolution; a depthwise one has as many as channels.
        gain: the value at the center.

    Raises:
        BadInput: groups is not a positive integer; later, the target is no convolution, or groups do not divide its
            outputs.

    Reference: Zagoruyko & Komodakis 2017, "DiracNets".

    Example:
        >>> Dirac().draw(Target("weight", (2, 2, 3)), seed=0).reshape(2, 2, 3)
        array([[[0., 1., 0.],
                [0., 0., 0.]],
               [[0., 0., 0.],
                [0., 1., 0.]]], dtype=float32)
    """

    groups: int = 1
    gain: float = 1.0

    def __post_init__(self) -> None:
        if not (isinstance(self.groups, int) and self.groups >= 1):
            raise BadInput(f"Dirac: groups must be an integer, at least 1; got {self.groups!r}.")
        require_finite(self, ["gain"])

    def law(self, target: Target) -> Law:
        """Of all elements together: one spike for each channel that is handed on."""
        outputs, inputs, kernel = require_kernel(self, target)
        if outputs % self.groups:
            raise BadInput(
                f"{self} cannot split the {outputs} outputs of {target.name!r} (shape {target.shape}) into "
                f"{self.groups} groups. Give the groups of the convolution."
            )
        handed_on = self.groups * min(outputs // self.groups, inputs) if 0 not in kernel else 0
        return spikes(self.gain, handed_on, target)

    def at(self, shape: tuple[int, ...], place: tuple[Indices, ...]) -> npt.NDArray[np.float64]:
        """`gain` at the center, where the output's number within its group is that of the input."""
        within = place[0] % max(shape[0] // self.groups, 1)
        return np.where((within == place[1]) & at_center(shape[2:], place), self.gain, 0.0)


def spikes(value: float, count: int, target: Target) -> Law:
    """`count` elements of that value among zeros."""
    return fixed_law(count * value, count * value**2, target.size, min(value, 0.0), max(value, 0.0))
