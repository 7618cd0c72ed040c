"""Distribution functions of the stream's laws, and what a sample should show of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fanin.initializers import Initializer, Law, Target
from fanin.initializers.base import COMPLEX
from fanin.stream.laws import FORMATS, NORMAL, TRUNCATED, UNIFORM
from fanin.testing.expect import as_float64
from fanin.testing.foreign import Foreign
from fanin.testing.tolerance import rounding_tolerance

Reals: TypeAlias = npt.NDArray[np.float64]
Cdf: TypeAlias = Callable[[Reals], Reals]

LEVELS: Final = 1 << 23  # of the coarsest generators of float32 in use: 23 random bits a value
SIGMA: Final = 2.0**27  # units of the stream's normal integers


class Marginal(NamedTuple):
    """The law of one element: its distribution function, and of how many equally likely values it is at least."""

    cdf: Cdf
    levels: float


def declared_marginal(what: Initializer, target: Target, law: Law) -> Marginal | None:
    """From the kind of `sampling` and the numbers of the law; None for constants, and what is not drawn by itself."""
    stated = what.declares if isinstance(what, Foreign) else what
    sampled = stated.sampling(target)
    if sampled is None or target.dtype in COMPLEX or law.std <= rounding_tolerance(target.dtype, abs(law.mean)):
        return None
    kind, *_, unit, shift = sampled.law
    if kind == UNIFORM:
        return Marginal(lambda x: np.clip((x - law.low) / (law.high - law.low), 0.0, 1.0), LEVELS)
    if kind == NORMAL:
        return Marginal(lambda x: _phi((x - law.mean) / law.std), LEVELS)
    if kind == TRUNCATED:
        low, high = _phi((np.array([law.low, law.high]) - shift) / (unit * SIGMA))
        share = float(high - low)  # of the parent's values
        return Marginal(lambda x: np.clip((_phi((x - shift) / (unit * SIGMA)) - low) / share, 0.0, 1.0), LEVELS * share)
    return None


def _phi(z: Reals) -> Reals:
    """Φ, the distribution function of the standard normal law."""
    return np.array([math.erfc(-value) / 2 for value in np.ravel(z * math.sqrt(0.5)).tolist()])


def ks_distance(values: npt.NDArray[Any], cdf: Cdf, rounding: npt.NDArray[Any]) -> float:
    """Sup |F_n − F| over all laws whose rounded values these may be: each value was within `rounding` of what it is."""
    if not len(values):
        return 0.0
    order = np.argsort(values)
    x, off, n = values[order], rounding[order], len(values)
    steps = np.arange(n + 1) / n
    return float(max((steps[1:] - cdf(x + off)).max(), (cdf(x - off) - steps[:-1]).max(), 0.0))


def expected_distinct(marginal: Marginal, law: Law, dtype: str, n: int) -> tuple[float, float]:
    """The mean number of distinct values among n is at least this, and its variance at most that.

    With p_i the mass that rounds to number i of a format of 8 or 16 bits, Σ q_i with q_i = 1 − (1 − p_i)ⁿ. Which
    numbers occur is negatively associated, so the variance is at most Σ q_i (1 − q_i). Of wider formats, n less the
    pairs that differ by less than r, what rounding hides: of a law of standard deviation σ at most n² r/(2 σ). From
    both go the pairs that are equal before they are rounded, on average n²/(2 `levels`).
    """
    equal = n * n / (2 * marginal.levels)
    stored = FORMATS[dtype].stored
    if stored.kind != "u" and stored.itemsize > 2:
        equal += n * n * rounding_tolerance(dtype, abs(law.mean) + law.std) / (2 * law.std)
        return n - equal, equal
    patterns = np.arange(1 << 8 * stored.itemsize).astype(f"u{stored.itemsize}")
    with np.errstate(invalid="ignore"):
        numbers = as_float64(patterns if stored.kind == "u" else patterns.view(stored), dtype)
    numbers = np.unique(numbers[np.isfinite(numbers)])
    edges = np.concatenate([[-math.inf], (numbers[1:] + numbers[:-1]) / 2, [math.inf]])
    occurs = -np.expm1(n * np.log1p(-np.minimum(np.diff(marginal.cdf(edges)), 1 - 1e-12)))
    return float(occurs.sum()) - equal, float((occurs * (1 - occurs)).sum()) + equal
