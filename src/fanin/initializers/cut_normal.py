"""The truncated normal laws of others: `mean` and `std` are those of the normal before it is cut."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fanin.errors import BadInput
from fanin.initializers.base import COMPLEX, Initializer, Law, Target, require_finite, require_non_negative
from fanin.stream import Distribution, truncated_law
from fanin.stream.gaussian import truncated_moments
from fanin.stream.laws import FORMATS
from fanin.stream.laws import Law as StreamLaw

NO_CUT = 8.0  # sigmas: no word lies there, and 1e-15 of the law beyond


@dataclass(frozen=True)
class CutNormal(Initializer):
    """N(mean, std²) given that it lies between the bounds: `mean` and `std` are the parent's, *before* the cut.

    What one gets is in `law`: with bounds at ±2 std, 0.8796 std. For a standard deviation that is the one you get, use
    `TruncatedNormal`. One word an element, wherever the bounds lie; of the 2³² words, 1,231 lie beyond 5 std on a side
    and none beyond 6.3: a bound farther away cuts nothing. No value crosses a bound as the dtype rounds it.

    Args:
        std: of the parent, above 0.
        mean: of the parent.
        low: the lower bound, in the units of the values; −∞ for none, which is kept as mean − 8 std.
        high: the upper bound; ∞ for none.

    Raises:
        BadInput: std is not positive, low is not below high, or between the bounds there is no word of the stream or,
            later, no number of the dtype.

    Example:
        >>> round(CutNormal(std=0.02).law(Target("weight", (10, 10))).std, 6)  # ±2 is 100 sigmas: no cut at all
        0.02
        >>> law = CutNormal(low=1.5, high=4.0).law(Target("weight", (10, 10)))
        >>> round(law.mean, 4), round(law.std, 4)
        (1.9376, 0.3836)
    """

    std: float = 1.0
    mean: float = 0.0
    low: float = -2.0
    high: float = 2.0

    def __post_init__(self) -> None:
        require_non_negative(self, ["std"])
        require_finite(self, ["mean"])
        if not self.std:
            raise BadInput("CutNormal: std must be above 0; got 0. Use Constant(mean).")
        if not (isinstance(self.low, (int, float)) and isinstance(self.high, (int, float)) and self.low < self.high):
            raise BadInput(f"CutNormal: expected low < high; got low={self.low!r}, high={self.high!r}.")
        for name, sign in (("low", -1), ("high", 1)):
            if getattr(self, name) == sign * math.inf:  # JSON has no such number
                object.__setattr__(self, name, self.mean + sign * NO_CUT * self.std)
        truncated_law(self.std, *self._cuts)  # raises where there is no word

    @property
    def _cuts(self) -> tuple[float, float]:
        """The bounds, in sigmas from the mean."""
        return (self.low - self.mean) / self.std, (self.high - self.mean) / self.std

    def law(self, target: Target) -> Law:
        """The realised one."""
        mean, std, kurtosis = truncated_moments(*self._cuts)
        return Law(self.mean + self.std * mean, self.std * std, self.low, self.high, kurtosis)

    def sampling(self, target: Target) -> Distribution:
        """One stream word an element, no rejection."""
        law, reach = truncated_law(self.std, *self._cuts, mean=self.mean)
        dtype = COMPLEX.get(target.dtype, target.dtype)
        if dtype not in FORMATS:
            return Distribution(law, reach)  # whoever draws says which formats there are
        kind, first, count, _, _, unit, shift = law
        lowest, highest = _within(self.low, self.high, law, dtype)
        if lowest > highest:
            raise BadInput(
                f"{self}: no {target.dtype} number of the normal law lies in [{self.low!r}, {self.high!r}]. "
                "Use wider bounds or a wider dtype."
            )
        reach = min(reach, max(abs(self.low), abs(self.high)))
        return Distribution((kind, first, count, lowest, highest, unit, shift), reach)


@lru_cache(maxsize=1024)
def _within(low: float, high: float, law: StreamLaw, dtype: str) -> tuple[int, int]:
    """Of the law's integers, the lowest and highest whose values cross neither bound, rounded to the format."""
    _, _, _, lowest, highest, unit, shift = law
    number = FORMATS[dtype].computed

    def value(integer: int) -> float:
        return float(number(number(integer) * number(unit)) + number(shift))

    span = range(lowest, highest + 1)
    with np.errstate(over="ignore"):
        begin = bisect_left(span, float(number(low)), key=value)
        end = bisect_right(span, float(number(high)), key=value)
    return lowest + begin, lowest + end - 1


def torch_truncated_normal(std: float = 1.0, mean: float = 0.0, low: float = -2.0, high: float = 2.0) -> CutNormal:
    """What `torch.nn.init.trunc_normal_(mean, std, a, b)` means: absolute bounds, the parent's std.

    With its defaults a and b, std=0.02 is cut at 100 sigmas, that is not at all.
    """
    return CutNormal(std, mean, low, high)


def timm_truncated_normal(std: float = 1.0, mean: float = 0.0, low: float = -2.0, high: float = 2.0) -> CutNormal:
    """What `timm.layers.trunc_normal_tf_(mean, std, a, b)` means: cuts in sigmas, the parent's std."""
    return _cut_in_sigmas(std, mean, low, high)


def jax_truncated_normal(std: float = 0.01, low: float = -2.0, high: float = 2.0) -> CutNormal:
    """What `jax.nn.initializers.truncated_normal(stddev, lower, upper)` means: cuts in sigmas, the parent's std."""
    return _cut_in_sigmas(std, 0.0, low, high)


def keras_truncated_normal(std: float = 0.05, mean: float = 0.0) -> CutNormal:
    """What `keras.initializers.TruncatedNormal(mean, stddev)` means: cut at ±2 sigmas, the parent's std."""
    return _cut_in_sigmas(std, mean, -2.0, 2.0)


def _cut_in_sigmas(std: float, mean: float, low: float, high: float) -> CutNormal:
    try:
        return CutNormal(std, mean, mean + low * std, mean + high * std)
    except TypeError as error:
        raise BadInput(
            f"Expected numbers for std, mean, low, high; got {std!r}, {mean!r}, {low!r}, {high!r}."
        ) from error
