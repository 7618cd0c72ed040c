"""The truncated normal law, with the mean and standard deviation that one gets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fanin.errors import BadInput
from fanin.initializers.base import (
    Initializer,
    Law,
    Target,
    is_finite_number,
    require_finite,
    require_non_negative,
)
from fanin.stream import Distribution, truncated_law
from fanin.stream.distributions import cut_word
from fanin.stream.gaussian import truncated_moments, truncated_std

SMALLEST_CUT = 1e-4  # between cuts so near, the stream has 2,679 different values
FEWEST_WORDS = 1 << 16  # of 2^32: what lies farther out is too coarse to have the moments that are declared

LARGEST_SHIFT = 6.0  # standard deviations by which the parent's mean may lie beside the realised one


@dataclass(frozen=True)
class TruncatedNormal(Initializer):
    """A normal law cut at ±`cut_in_sigmas` of the parent normal; `mean` and `std` are those after the cut.

    The parent has std / s(c), with s(c)² = 1 − 2 c ϕ(c) / (2 Φ(c) − 1): s(2) = 0.8796. Two cuts (low, high) need not be
    symmetric; `within` takes bounds instead of cuts.
    Peers differ here: in torch the cut is absolute and `std` the parent's, in JAX and Keras `std` is the parent's. See
    `CutNormal` for the laws that they mean.

    Args:
        std: the realised standard deviation.
        mean: the realised mean.
        cut_in_sigmas: one number for both sides, or two, low < high.

    Raises:
        BadInput: std is negative; a cut is not finite, leaves less than 2e-4 sigmas, or lies far from 0 on one side.

    Example:
        >>> law = TruncatedNormal(std=0.02).law(Target("weight", (10, 10)))
        >>> round(law.std, 6), round(law.high, 6)
        (0.02, 0.045474)
        >>> law = TruncatedNormal(std=0.02, cut_in_sigmas=(-1, 3)).law(Target("weight", (10, 10)))
        >>> law.mean, round(law.low, 6), round(law.high, 6)
        (0.0, -0.032685, 0.069233)
    """

    std: float = 1.0
    mean: float = 0.0
    cut_in_sigmas: float | tuple[float, float] = 2.0

    def __post_init__(self) -> None:
        require_non_negative(self, ["std"])
        require_finite(self, ["mean"])
        cut: Any = self.cut_in_sigmas
        if isinstance(cut, Sequence) and len(cut) == 2:
            _check_cuts(*cut)
            if not all(map(is_finite_number, cut)):
                raise BadInput(f"TruncatedNormal: expected finite cuts; got {cut!r}. Beyond ±7 sigmas, nothing is cut.")
            moments = truncated_moments(*cut)
            if abs(moments.mean) > LARGEST_SHIFT * moments.std:
                raise BadInput(
                    f"TruncatedNormal: between cuts at {cut[0]!r} and {cut[1]!r} sigmas, the values would be small "
                    "differences of large numbers, too coarse in float32. Use cuts around 0, or CutNormal with bounds."
                )
            object.__setattr__(self, "cut_in_sigmas", cut[1] if cut[0] == -cut[1] else tuple(cut))
            return
        require_finite(self, ["cut_in_sigmas"])
        if cut < SMALLEST_CUT:
            raise BadInput(
                f"TruncatedNormal: cut_in_sigmas must be at least {SMALLEST_CUT}; got {cut!r}. "
                "Cut that close to its mean, a normal law is uniform: use Uniform.of_std."
            )

    @classmethod
    def within(cls, low: float, high: float, std: float) -> TruncatedNormal:
        """The law with these bounds and this realised standard deviation, symmetric between them.

        Raises:
            BadInput: low is not below high, or the std is not below that of the uniform law, (high − low)/√12.

        Example:
            >>> law = TruncatedNormal.within(-0.04, 0.04, std=0.02).law(Target("weight", (10, 10)))
            >>> round(law.high, 9), round(law.std, 9)
            (0.04, 0.02)
        """
        reach = (high - low) / 2
        if not (is_finite_number(reach) and 0 < std < reach / math.sqrt(3) * (1 - 1e-8)):
            raise BadInput(
                f"TruncatedNormal.within: expected low < high and 0 < std < (high − low)/√12; got low={low!r}, "
                f"high={high!r}, std={std!r}. Use Uniform(low, high), or wider bounds."
            )
        return cls(std, (low + high) / 2, _cut_of_ratio(reach / std))

    @property
    def cuts(self) -> tuple[float, float]:
        """In sigmas of the parent."""
        cut = self.cut_in_sigmas
        return cut if isinstance(cut, tuple) else (-cut, cut)

    @property
    def _parent(self) -> tuple[float, float]:
        """Standard deviation and mean of the normal law that is cut."""
        if isinstance(self.cut_in_sigmas, tuple):
            moments = truncated_moments(*self.cut_in_sigmas)
            parent_std = self.std / moments.std
            return parent_std, self.mean - moments.mean * parent_std
        return self.std / truncated_std(self.cut_in_sigmas), self.mean

    def law(self, target: Target) -> Law:
        """The realised one; the bounds are attained at most."""
        (low, high), (std, center) = self.cuts, self._parent
        kurtosis = truncated_moments(low, high).kurtosis if isinstance(self.cut_in_sigmas, tuple) else 3.0
        return Law(self.mean, self.std, center + low * std, center + high * std, kurtosis)

    def sampling(self, target: Target) -> Distribution:
        """One stream word an element, no rejection."""
        std, center = self._parent
        return truncated_law(std, *self.cuts, mean=center)


@lru_cache(maxsize=256)
def _check_cuts(low: float, high: float) -> None:
    """Two cuts in sigmas between which the stream has numbers enough."""
    if not (_is_number(low) and _is_number(high) and low < high):
        raise BadInput(f"TruncatedNormal: expected a low cut below the high one; got {low!r} and {high!r} sigmas.")
    if high - low < 2 * SMALLEST_CUT:
        raise BadInput(
            f"TruncatedNormal: cuts at {low!r} and {high!r} sigmas leave less than {2 * SMALLEST_CUT} of them, where a "
            "normal law is uniform: use Uniform."
        )
    if cut_word(high) - cut_word(low) < FEWEST_WORDS:
        raise BadInput(
            f"TruncatedNormal: between {low:.6g} and {high:.6g} sigmas lies less than {FEWEST_WORDS / 2**32:.1e} of "
            "the normal law, too little to draw from with 32 bits. Use cuts nearer to the mean."
        )


def _is_number(cut: object) -> bool:
    return isinstance(cut, (int, float)) and not math.isnan(cut)


@lru_cache(maxsize=256)
def _cut_of_ratio(ratio: float) -> float:
    """The cut c with c/s(c) = ratio > √3, by bisection: c/s(c) grows with c, and s(c) < 1."""
    low, high = SMALLEST_CUT, ratio
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if middle / truncated_std(middle) < ratio else (low, middle)
    return high
