"""The normal law."""

from __future__ import annotations

from dataclasses import dataclass

from fanin.initializers.base import (
    Initializer,
    Law,
    Target,
    require_finite,
    require_non_negative,
)
from fanin.stream import Distribution, normal_law


@dataclass(frozen=True)
class Normal(Initializer):
    """N(mean, std²), not truncated.

    Example:
        >>> Normal(std=0.02).draw(Target("weight", (2, 2)), seed=0).round(4)
        array([-0.0082, -0.0185, -0.0375,  0.0019], dtype=float32)
    """

    std: float = 1.0
    mean: float = 0.0

    def __post_init__(self) -> None:
        require_non_negative(self, ["std"])
        require_finite(self, ["mean"])

    def law(self, target: Target) -> Law:
        """As declared."""
        return Law(self.mean, self.std)

    def sampling(self, target: Target) -> Distribution:
        """One stream word an element, through the integer quantile."""
        return normal_law(self.std, mean=self.mean)
