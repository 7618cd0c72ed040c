"""The uniform law."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from fanin.errors import BadInput
from fanin.initializers.base import Elements, Initializer, Law, Target, all_elements, require_finite
from fanin.stream import key, uniform


@dataclass(frozen=True)
class Uniform(Initializer):
    """U(low, high): mean (low + high)/2, std (high − low)/√12.

    A uniform law of standard deviation σ is `Uniform.of_std(σ)`, U(−√3 σ, √3 σ).

    Example:
        >>> round(Uniform(-0.05, 0.05).law(Target("weight", (10, 10))).std, 6)
        0.028868
    """

    low: float = -0.05
    high: float = 0.05

    def __post_init__(self) -> None:
        require_finite(self, ["low", "high"])
        if not self.low < self.high:
            raise BadInput(f"Uniform: low must be below high; got low={self.low!r}, high={self.high!r}.")

    @classmethod
    def of_std(cls, std: float) -> Uniform:
        """The centred uniform law of that standard deviation."""
        bound = math.sqrt(3) * std
        return cls(-bound, bound)

    def law(self, target: Target) -> Law:
        """No element reaches a bound."""
        mean, std = (self.low + self.high) / 2, (self.high - self.low) / math.sqrt(12)
        return Law(mean, std, self.low, self.high, kurtosis=1.8)

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """One stream word an element."""
        return uniform(
            key(seed, target.name),
            all_elements(target, elements),
            (self.high - self.low) / 2,
            center=(self.low + self.high) / 2,
            dtype=target.dtype,
        )
