"""One law and its named cases: Var(w) = gain² / fan."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy.typing as npt

from fanin.errors import BadInput, UnknownName
from fanin.initializers.base import (
    Initializer,
    Law,
    Target,
    is_finite_number,
    require_fans,
    require_non_negative,
)
from fanin.initializers.constant import Zeros
from fanin.initializers.normal import Normal
from fanin.initializers.truncated_normal import TruncatedNormal
from fanin.initializers.uniform import Uniform
from fanin.stream import Distribution, Elements

MODES = ("fan_in", "fan_out", "fan_avg", "fan_geo_avg")
DISTRIBUTIONS: Final[dict[str, Callable[[float], Initializer]]] = {
    "normal": Normal,
    "truncated_normal": TruncatedNormal,
    "uniform": Uniform.of_std,
}


@dataclass(frozen=True)
class VarianceScaling(Initializer):
    """Zero mean and Var(w) = gain² / fan, as a normal, uniform, or truncated normal law.

    Through y = W x with fan_in terms, E[y²] = fan_in · Var(w) · E[x²]: `mode="fan_in"` with gain 1 keeps the second
    moment of the signal, `mode="fan_out"` that of the gradient, `"fan_avg"` is between the two.

    The standard deviation is the realised one for every distribution, truncated included.

    Args:
        gain: factor on the standard deviation, to undo what the activation takes (`fanin.gain`).
        mode: fan_in, fan_out, fan_avg or fan_geo_avg.
        distribution: normal, uniform or truncated_normal (cut at ±2 σ).

    Raises:
        UnknownName: no such mode or distribution.
        BadInput: a negative gain, or a target whose operation defines no fans.

    Example:
        >>> from fanin.graph import Fans
        >>> he_normal().law(Target("weight", (256, 128), fans=Fans(128, 256))).std
        0.125
    """

    gain: float = 1.0
    mode: str = "fan_in"
    distribution: str = "normal"

    def __post_init__(self) -> None:
        require_non_negative(self, ["gain"])
        if self.mode not in MODES:
            raise UnknownName("mode", self.mode, MODES)
        if self.distribution not in tuple(DISTRIBUTIONS):
            raise UnknownName("distribution", self.distribution, DISTRIBUTIONS)

    def __str__(self) -> str:
        """The standard deviation as a formula: "normal 1.414/√fan_in"."""
        return f"{self.distribution.replace('_', ' ')} {self.gain:.4g}/√{self.mode}"

    def resolve(self, target: Target) -> Initializer:
        """The fixed law that this is for one target."""
        fan = require_fans(self, target).of(self.mode)
        std = self.gain / math.sqrt(fan) if fan else 0.0
        return DISTRIBUTIONS[self.distribution](std) if std else Zeros()

    def law(self, target: Target) -> Law:
        """That of the resolved law."""
        return self.resolve(target).law(target)

    def sampling(self, target: Target) -> Distribution | None:
        """That of the resolved law."""
        return self.resolve(target).sampling(target)

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """That of the resolved law."""
        return self.resolve(target).draw(target, seed, elements)


def lecun_normal() -> VarianceScaling:
    """Var(w) = 1/fan_in keeps E[y²] = E[x²] through y = W x (LeCun et al. 1998, §4.6)."""
    return VarianceScaling()


def lecun_uniform() -> VarianceScaling:
    """U(±√(3/fan_in)), of variance 1/fan_in."""
    return VarianceScaling(distribution="uniform")


def he_normal(negative_slope: float = 0.0) -> VarianceScaling:
    """Var(w) = 2/((1 + a²) fan_in) undoes E[leaky(z)²] = E[z²] (1 + a²)/2 (He et al. 2015, eq. 10 and 15)."""
    return VarianceScaling(gain=_rectifier_gain(negative_slope))


def he_uniform(negative_slope: float = 0.0) -> VarianceScaling:
    """U(±√(6/((1 + a²) fan_in))), of the variance of `he_normal`."""
    return VarianceScaling(gain=_rectifier_gain(negative_slope), distribution="uniform")


def _rectifier_gain(negative_slope: float) -> float:
    """√(2/(1 + a²))."""
    if not is_finite_number(negative_slope):
        raise BadInput(f"negative_slope must be a finite number; got {negative_slope!r}.")
    return math.sqrt(2) / math.hypot(1, negative_slope)


def glorot_normal(gain: float = 1.0) -> VarianceScaling:
    """Var(w) = gain² · 2/(fan_in + fan_out), between forward and backward (Glorot & Bengio 2010, eq. 12)."""
    return VarianceScaling(gain=gain, mode="fan_avg")


def glorot_uniform(gain: float = 1.0) -> VarianceScaling:
    """U(±gain √(6/(fan_in + fan_out))) (Glorot & Bengio 2010, eq. 16)."""
    return VarianceScaling(gain=gain, mode="fan_avg", distribution="uniform")


def torch_uniform() -> VarianceScaling:
    """U(±1/√fan_in), variance 1/(3 fan_in): what `torch.nn.Linear` and `Conv` do (`kaiming_uniform_` with a = √5)."""
    return VarianceScaling(gain=math.sqrt(1 / 3), distribution="uniform")
