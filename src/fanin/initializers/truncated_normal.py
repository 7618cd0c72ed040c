"""The truncated normal law, with the standard deviation that one gets."""

from __future__ import annotations

from dataclasses import dataclass

from fanin.errors import BadInput
from fanin.initializers.base import (
    Initializer,
    Law,
    Target,
    require_finite,
    require_non_negative,
)
from fanin.stream import Distribution, truncated_law
from fanin.stream.gaussian import truncated_std

SMALLEST_CUT = 1e-4  # the stream counts in 2^-27 sigmas: 13,421 steps up to here


@dataclass(frozen=True)
class TruncatedNormal(Initializer):
    """A normal law cut at ±`cut_in_sigmas` of the parent normal; `std` is the standard deviation after the cut.

    The parent has std / s(c), with s(c)² = 1 − 2 c ϕ(c) / (2 Φ(c) − 1): s(2) = 0.8796.
    Peers differ here: in torch the cut is absolute and `std` the parent's, in JAX and Keras `std` is the parent's.

    Example:
        >>> law = TruncatedNormal(std=0.02).law(Target("weight", (10, 10)))
        >>> round(law.std, 6), round(law.high, 6)
        (0.02, 0.045474)
    """

    std: float = 1.0
    mean: float = 0.0
    cut_in_sigmas: float = 2.0

    def __post_init__(self) -> None:
        require_non_negative(self, ["std"])
        require_finite(self, ["mean", "cut_in_sigmas"])
        if self.cut_in_sigmas < SMALLEST_CUT:
            raise BadInput(
                f"TruncatedNormal: cut_in_sigmas must be at least {SMALLEST_CUT}; got {self.cut_in_sigmas!r}. "
                "Cut that close to its mean, a normal law is uniform: use Uniform.of_std."
            )

    @property
    def _parent_std(self) -> float:
        """The standard deviation of the normal whose truncation has standard deviation `std`."""
        return self.std / truncated_std(self.cut_in_sigmas)

    def law(self, target: Target) -> Law:
        """The realised one; the bounds are attained at most."""
        reach = self.cut_in_sigmas * self._parent_std
        return Law(self.mean, self.std, self.mean - reach, self.mean + reach)

    def sampling(self, target: Target) -> Distribution:
        """One stream word an element, no rejection."""
        return truncated_law(self._parent_std, -self.cut_in_sigmas, self.cut_in_sigmas, mean=self.mean)
