"""The normal law between two bounds, as torch means it: absolute bounds, the standard deviation before the cut."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from fanin.errors import BadInput
from fanin.initializers import Initializer, Law, Target
from fanin.initializers.base import require_finite
from fanin.stream import Distribution, truncated_law
from fanin.stream.gaussian import exact_digits, normal_cdf, normal_density
from fanin.stream.laws import FORMATS


@dataclass(frozen=True)
class Window(Initializer):
    """N(mean, std²) given that low ≤ value ≤ high, bounds included as the dtype rounds them.

    One word an element, wherever the window lies. A bound farther than 6.3 std from the mean cuts nothing, and with
    both so far away the values are those of `Normal(std, mean)`.

    Raises:
        BadInput: std is not positive, low is not below high, or the window is so far out or so narrow that the stream
            or the dtype has no number there.

    Example:
        >>> law = Window(std=1.0, mean=0.0, low=1.5, high=4.0).law(Target("weight", (10, 10)))
        >>> round(law.mean, 4), round(law.std, 4)
        (1.9376, 0.3836)
    """

    std: float
    mean: float
    low: float
    high: float

    def __post_init__(self) -> None:
        require_finite(self, ["mean", "std"])
        if not self.std > 0:
            raise BadInput(f"trunc_normal_: std must be above 0; got {self.std!r}. Use constant_(tensor, mean).")
        if not self.low < self.high:
            raise BadInput(f"trunc_normal_: a must be below b; got a={self.low!r}, b={self.high!r}.")

    @property
    def cuts(self) -> tuple[float, float]:
        """The bounds, in sigmas from the mean."""
        return (self.low - self.mean) / self.std, (self.high - self.mean) / self.std

    def law(self, target: Target) -> Law:
        """With cuts a, b and Z = Φ(b) − Φ(a): mean (ϕ(a) − ϕ(b))/Z, second moment 1 + (a ϕ(a) − b ϕ(b))/Z."""
        with exact_digits():
            a, b = (Decimal(max(-8.0, min(cut, 8.0))) for cut in self.cuts)
            at_a, at_b, inside = normal_density(a), normal_density(b), normal_cdf(b) - normal_cdf(a)
            mean = (at_a - at_b) / inside
            std = (1 + (a * at_a - b * at_b) / inside - mean * mean).sqrt()
        tails = 9.0  # far out the law becomes exponential
        return Law(self.mean + self.std * float(mean), self.std * float(std), self.low, self.high, kurtosis=tails)

    def sampling(self, target: Target) -> Distribution:
        """The stream's truncated law, of which rounding in the target's dtype crosses no bound."""
        (kind, first, count, lowest, highest, unit, shift), reach = truncated_law(self.std, *self.cuts, mean=self.mean)
        number = FORMATS[target.dtype].computed

        def value(integer: int) -> float:
            return float(number(number(integer) * number(unit)) + number(shift))

        with np.errstate(over="ignore"):
            span = range(lowest, highest + 1)
            begin = bisect_left(span, float(number(self.low)), key=value)
            end = bisect_right(span, float(number(self.high)), key=value)
        if begin == end:
            raise BadInput(
                f"trunc_normal_: no {target.dtype} number of N({self.mean!r}, {self.std!r}²) lies in "
                f"[{self.low!r}, {self.high!r}]. Use a wider window or dtype."
            )
        reach = min(reach, max(abs(self.low), abs(self.high)))
        return Distribution((kind, first, count, span[begin], span[end - 1], unit, shift), reach)
