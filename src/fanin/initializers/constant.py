"""Zeros, ones, and any other constant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fanin.initializers.base import Initializer, Law, Structure, Target, all_elements, require_finite, rounded
from fanin.stream import Elements


@dataclass(frozen=True)
class Constant(Initializer):
    """Every element is `value`.

    Right for biases and for the scale and shift of a norm. On a weight it makes all units of the layer alike, and
    gradient descent keeps them alike: the layer computes one feature.

    Example:
        >>> Constant(0.5).draw(Target("bias", (3,)), seed=0)
        array([0.5, 0.5, 0.5], dtype=float32)
    """

    whole: ClassVar[bool] = True

    value: float = 0.0

    def __post_init__(self) -> None:
        require_finite(self, ["value"])

    def law(self, target: Target) -> Law:
        """No spread at all."""
        return Law(self.value, 0.0, self.value, self.value, structure=Structure.FIXED)

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """The value, rounded once to the target's dtype."""
        return rounded(np.full(len(all_elements(target, elements)), self.value), target.dtype)


@dataclass(frozen=True)
class Zeros(Constant):
    """Every element is 0."""

    value: float = field(default=0.0, init=False)


@dataclass(frozen=True)
class Ones(Constant):
    """Every element is 1."""

    value: float = field(default=1.0, init=False)
