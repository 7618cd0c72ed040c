"""The uniform law."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fanin.errors import BadInput
from fanin.initializers.base import Initializer, Law, Target, require_finite
from fanin.stream import Distribution, uniform_law


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

    def sampling(self, target: Target) -> Distribution:
        """One stream word an element."""
        return uniform_law((self.high - self.low) / 2, center=(self.low + self.high) / 2)
