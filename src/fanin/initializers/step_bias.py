"""Biases behind which a softplus gives step sizes spread evenly over orders of magnitude."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.initializers.base import Initializer, Law, Target, all_elements, is_finite_number, rounded
from fanin.initializers.by_index import pieces
from fanin.initializers.chrono import natural_log
from fanin.stream import Elements, key, uniform

LARGEST: Final = 1.0  # step size up to which the series of expm1 is short
TERMS: Final = 18  # 1/19! < 2^-53


@dataclass(frozen=True)
class StepBias(Initializer):
    """b with softplus(b) = Δ and log Δ ~ U(log low, log high): b = log(exp(Δ) − 1).

    Args:
        low: the shortest step.
        high: the longest, at most 1.

    Raises:
        BadInput: not 0 < low < high ≤ 1.

    Reference: Gu & Dao 2023, "Mamba", §3.6; the range is that of `mamba_ssm.modules.mamba_simple.Mamba`.
    Not for: step sizes that are not a softplus of what the bias is added to.

    Example:
        >>> b = StepBias().draw(Target("dt_proj.bias", (4,), "float64"), seed=0)
        >>> steps = np.log1p(np.exp(b))
        >>> bool((1e-3 <= steps).all()), bool((steps <= 1e-1).all())
        (True, True)
    """

    low: float = 1e-3
    high: float = 1e-1

    def __post_init__(self) -> None:
        if not (is_finite_number(self.low) and is_finite_number(self.high) and 0 < self.low < self.high <= LARGEST):
            raise BadInput(
                f"StepBias: expected step sizes 0 < low < high ≤ {LARGEST:g}; got low={self.low!r}, high={self.high!r}."
            )

    def law(self, target: Target) -> Law:
        """Moments by quadrature over log Δ."""
        return _law(self.low, self.high)

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """In float64, rounded once to the target's dtype."""
        own = key(seed, target.name)
        low, high = _logs(self.low, self.high)
        values = [np.empty(0)]
        for place in pieces(all_elements(target, elements)):
            u = uniform(own, place, (high - low) / 2, dtype="float64", center=(low + high) / 2)
            values.append(inverse_softplus_of_exp(u))
        return rounded(np.concatenate(values), target.dtype)


def inverse_softplus_of_exp(u: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """log(exp(Δ) − 1) for Δ = exp(u) ≤ 1, as u + log(1 + Δ/2 + Δ²/6 + …): the same bits on every machine.

    Example:
        >>> bool(abs(inverse_softplus_of_exp(np.log([0.001, 1.0])) - np.log(np.expm1([0.001, 1.0]))).max() < 1e-14)
        True
    """
    step = _exponential(u)
    series = np.ones_like(step)
    for n in range(TERMS, 1, -1):
        series = 1 + step / n * series
    result: npt.NDArray[np.float64] = u + natural_log(series)
    return result


def _exponential(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """2^k exp(r), r = x − k log 2 within ±0.347: products and sums alone, as libraries differ in the last bit."""
    k = np.rint(x / math.log(2))
    r = x - k * math.log(2)
    series = np.ones_like(r)
    for n in range(14, 0, -1):  # 0.347^15/15! < 2^-53
        series = 1 + r / n * series
    result: npt.NDArray[np.float64] = np.ldexp(series, k.astype(np.int64))
    return result


def _logs(low: float, high: float) -> tuple[float, float]:
    first, last = natural_log(np.array([low, high]))
    return float(first), float(last)


@lru_cache(maxsize=256)
def _law(low: float, high: float) -> Law:
    first, last = _logs(low, high)
    nodes, weights = np.polynomial.legendre.leggauss(64)
    values = inverse_softplus_of_exp((last - first) / 2 * nodes + (first + last) / 2)
    mean = float(weights @ values) / 2
    variance, fourth = (float(weights @ (values - mean) ** k) / 2 for k in (2, 4))
    ends = inverse_softplus_of_exp(np.array([first, last]))
    return Law(mean, math.sqrt(variance), float(ends[0]), float(ends[1]), fourth / variance**2)
