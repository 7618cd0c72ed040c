"""One law and its named cases: Var(w) = gain² / fan."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy.typing as npt

from fanin.errors import BadInput, UnknownName
from fanin.graph import Fans
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
        fan_in: in place of the target's, for a tensor that no operation describes.
        fan_out: likewise.

    Raises:
        UnknownName: no such mode or distribution.
        BadInput: a negative gain, a fan that is not above 0, or a target whose operation defines no fans.

    Example:
        >>> from fanin.graph import Fans
        >>> he_normal().law(Target("weight", (256, 128), fans=Fans(128, 256))).std
        0.125
    """

    gain: float = 1.0
    mode: str = "fan_in"
    distribution: str = "normal"
    fan_in: float | None = None
    fan_out: float | None = None

    def __post_init__(self) -> None:
        require_non_negative(self, ["gain"])
        if self.mode not in MODES:
            raise UnknownName("mode", self.mode, MODES)
        if self.distribution not in tuple(DISTRIBUTIONS):
            raise UnknownName("distribution", self.distribution, DISTRIBUTIONS)
        given = [name for name in ("fan_in", "fan_out") if getattr(self, name) is not None]
        require_non_negative(self, given)
        for name in given:
            if not getattr(self, name):
                raise BadInput(f"VarianceScaling: {name} counts the terms of a sum; expected more than 0, got 0.")

    def __str__(self) -> str:
        """The standard deviation as a formula: "normal 1.414/√fan_in"."""
        given = [f"{n}={v:g}" for n, v in (("fan_in", self.fan_in), ("fan_out", self.fan_out)) if v is not None]
        text = f"{self.distribution.replace('_', ' ')} {self.gain:.4g}/√{self.mode}"
        return f"{text} ({', '.join(given)})" if given else text

    def resolve(self, target: Target) -> Initializer:
        """The fixed law that this is for one target."""
        fan = self._fans(target).of(self.mode)
        std = self.gain / math.sqrt(fan) if fan else 0.0
        return DISTRIBUTIONS[self.distribution](std) if std else Zeros()

    def _fans(self, target: Target) -> Fans:
        known = {"fan_in": self.fan_in, "fan_out": self.fan_out}
        given = {name: fan for name, fan in known.items() if fan is not None}
        if self.mode in given or len(given) == len(known):
            return Fans(**{name: given.get(name, 0.0) for name in known})
        return replace(require_fans(self, target), **given)

    def law(self, target: Target) -> Law:
        """That of the resolved law."""
        return self.resolve(target).law(target)

    def sampling(self, target: Target) -> Distribution | None:
        """That of the resolved law."""
        return self.resolve(target).sampling(target)

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """That of the resolved law."""
        return self.resolve(target).draw(target, seed, elements)


def lecun_normal(fan_in: float | None = None) -> VarianceScaling:
    """Var(w) = 1/fan_in keeps E[y²] = E[x²] through y = W x (LeCun et al. 1998, §4.6)."""
    return VarianceScaling(fan_in=fan_in)


def lecun_uniform(fan_in: float | None = None) -> VarianceScaling:
    """U(±√(3/fan_in)), of variance 1/fan_in."""
    return VarianceScaling(distribution="uniform", fan_in=fan_in)


def lecun_truncated_normal(fan_in: float | None = None) -> VarianceScaling:
    """`lecun_normal` cut at ±2 σ, of the same variance: `lecun_normal` in JAX and Keras."""
    return VarianceScaling(distribution="truncated_normal", fan_in=fan_in)


def he_normal(negative_slope: float = 0.0, mode: str = "fan_in", fan_in: float | None = None) -> VarianceScaling:
    """Var(w) = 2/((1 + a²) fan_in) undoes E[leaky(z)²] = E[z²] (1 + a²)/2 (He et al. 2015, eq. 10 and 15)."""
    return VarianceScaling(_rectifier_gain(negative_slope), mode, fan_in=fan_in)


def he_uniform(negative_slope: float = 0.0, mode: str = "fan_in", fan_in: float | None = None) -> VarianceScaling:
    """U(±√(6/((1 + a²) fan_in))), of the variance of `he_normal`."""
    return VarianceScaling(_rectifier_gain(negative_slope), mode, "uniform", fan_in=fan_in)


def he_truncated_normal(
    negative_slope: float = 0.0, mode: str = "fan_in", fan_in: float | None = None
) -> VarianceScaling:
    """`he_normal` cut at ±2 σ, of the same variance: `he_normal` in JAX and Keras."""
    return VarianceScaling(_rectifier_gain(negative_slope), mode, "truncated_normal", fan_in=fan_in)


def _rectifier_gain(negative_slope: float) -> float:
    """√(2/(1 + a²))."""
    if not is_finite_number(negative_slope):
        raise BadInput(f"negative_slope must be a finite number; got {negative_slope!r}.")
    return math.sqrt(2) / math.hypot(1, negative_slope)


def glorot_normal(gain: float = 1.0, fan_in: float | None = None, fan_out: float | None = None) -> VarianceScaling:
    """Var(w) = gain² · 2/(fan_in + fan_out), between forward and backward (Glorot & Bengio 2010, eq. 12)."""
    return VarianceScaling(gain, "fan_avg", "normal", fan_in, fan_out)


def glorot_uniform(gain: float = 1.0, fan_in: float | None = None, fan_out: float | None = None) -> VarianceScaling:
    """U(±gain √(6/(fan_in + fan_out))) (Glorot & Bengio 2010, eq. 16)."""
    return VarianceScaling(gain, "fan_avg", "uniform", fan_in, fan_out)


def glorot_truncated_normal(
    gain: float = 1.0, fan_in: float | None = None, fan_out: float | None = None
) -> VarianceScaling:
    """`glorot_normal` cut at ±2 σ, of the same variance: `glorot_normal` in JAX and Keras."""
    return VarianceScaling(gain, "fan_avg", "truncated_normal", fan_in, fan_out)


def scaled_normal(scale: float = 1.0) -> VarianceScaling:
    """N(0, 2/(fan_in · scale)): He's law with a divisor to tune; a larger scale makes smaller weights."""
    return VarianceScaling(_divided_gain(scale))


def scaled_uniform(scale: float = 1.0) -> VarianceScaling:
    """U(±√(6/(fan_in · scale))), of the variance of `scaled_normal`."""
    return VarianceScaling(_divided_gain(scale), distribution="uniform")


def _divided_gain(scale: float) -> float:
    """√(2/scale)."""
    if not (is_finite_number(scale) and scale > 0):
        raise BadInput(f"scale must be a finite number above 0, since the variance is divided by it; got {scale!r}.")
    return math.sqrt(2 / scale)


def torch_uniform() -> VarianceScaling:
    """U(±1/√fan_in), variance 1/(3 fan_in): what `torch.nn.Linear` and `Conv` do (`kaiming_uniform_` with a = √5)."""
    return VarianceScaling(gain=math.sqrt(1 / 3), distribution="uniform")
