"""The truncated normal laws of others: `mean` and `std` are those of the normal before it is cut."""

from __future__ import annotations

from dataclasses import dataclass

from fanin.errors import BadInput
from fanin.initializers.base import Initializer, Law, Target, require_finite, require_non_negative
from fanin.initializers.truncated_normal import check_cuts
from fanin.stream import Distribution, truncated_law
from fanin.stream.gaussian import truncated_moments


@dataclass(frozen=True)
class CutNormal(Initializer):
    """N(mean, std²) given that it lies between the bounds: `mean` and `std` are the parent's, *before* the cut.

    What one gets is in `law`: with bounds at ±2 std, 0.8796 std. For a standard deviation that is the one you get, use
    `TruncatedNormal`.

    Args:
        std: of the parent, above 0.
        mean: of the parent.
        low: the lower bound, in the units of the values.
        high: the upper bound.

    Raises:
        BadInput: std is not positive, low is not below high, or (almost) nothing of the parent lies between the bounds.

    Example:
        >>> round(CutNormal(std=0.02).law(Target("weight", (10, 10))).std, 6)  # ±2 is 100 sigmas: no cut at all
        0.02
    """

    std: float = 1.0
    mean: float = 0.0
    low: float = -2.0
    high: float = 2.0

    def __post_init__(self) -> None:
        require_non_negative(self, ["std"])
        require_finite(self, ["mean", "low", "high"])
        if not self.std:
            raise BadInput("CutNormal: std must be above 0; got 0. Use Constant(mean).")
        check_cuts(f"CutNormal(std={self.std}, mean={self.mean}, low={self.low}, high={self.high})", *self._cuts)

    @property
    def _cuts(self) -> tuple[float, float]:
        return (self.low - self.mean) / self.std, (self.high - self.mean) / self.std

    def law(self, target: Target) -> Law:
        """The realised one."""
        mean, std, kurtosis = truncated_moments(*self._cuts)
        return Law(self.mean + self.std * mean, self.std * std, self.low, self.high, kurtosis)

    def sampling(self, target: Target) -> Distribution:
        """One stream word an element, no rejection."""
        return truncated_law(self.std, *self._cuts, mean=self.mean)


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
