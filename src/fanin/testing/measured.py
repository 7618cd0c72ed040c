"""A law's numbers against those of one draw: each promise is a function of a `Sample`, in the literal `MEASURED`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fanin.initializers import Initializer, Law, Structure, Target
from fanin.initializers.base import COMPLEX
from fanin.testing.distribution import Marginal, declared_marginal, expected_distinct, ks_distance
from fanin.testing.expect import Broken, as_float64, declared_law, expect_close, expect_equal
from fanin.testing.tolerance import (
    distinct_tolerance,
    ks_tolerance,
    kurtosis_tolerance,
    mean_tolerance,
    rounding_tolerance,
    std_tolerance,
)


@dataclass(frozen=True)
class Sample:
    """One draw of an initializer: what it declares, and its values as float64 or complex128."""

    what: Initializer
    target: Target
    law: Law
    values: npt.NDArray[Any]

    @classmethod
    def of(cls, what: Initializer, target: Target, seed: int = 0) -> Sample | None:
        """None where nothing is declared; then the draw must be refused, too."""
        law = declared_law(what, target)
        return None if law is None else cls(what, target, law, as_float64(what.draw(target, seed), target.dtype))

    @property
    def marginal(self) -> Marginal | None:
        """Of one element, where its law is one of the stream's and continuous."""
        return declared_marginal(self.what, self.target, self.law)

    def rounding(self, magnitude: float) -> float:
        """What rounding to the target's dtype may do to a number."""
        return rounding_tolerance(self.target.dtype, magnitude)


def number_of_values(s: Sample) -> None:
    """One for each element of the target."""
    expect_equal(s.what, s.target, "number of values", s.values.shape, (s.target.size,))


def mean(s: Sample) -> None:
    """Six standard errors of uncorrelated draws.

    ‖x + δ‖ ≤ ‖x‖ + ‖δ‖: rounding errors δ_i move a mean or a standard deviation by no more than their own norm.
    """
    n, law = s.target.size, s.law
    drawn = 0.0 if law.structure is Structure.FIXED else mean_tolerance(n, law.std)
    tolerance = drawn + s.rounding(abs(law.mean) + law.std) + _summation(n) * math.hypot(law.mean, law.std)
    expect_close(s.what, s.target, "mean", s.values.mean(), law.mean, tolerance)


def std(s: Sample) -> None:
    """Six standard errors of independent draws; only rounding under `Law.fixed_norm`, as the norm does not vary."""
    n, law = s.target.size, s.law
    relative = _summation(n) if law.fixed_norm else std_tolerance(n, law.kurtosis)
    measured = math.sqrt(np.mean(abs(s.values - law.mean) ** 2))
    tolerance = relative * law.std + s.rounding(abs(law.mean) + law.std)
    expect_close(s.what, s.target, "std", measured, law.std, tolerance)


def bounds(s: Sample) -> None:
    """No value lies outside; of complex numbers, no real or imaginary part."""
    law, values = s.law, s.values
    reals = np.concatenate([values.real, values.imag + law.mean]) if s.target.dtype in COMPLEX else values
    for side, extreme, bound in (("below", reals.min(), law.low), ("above", reals.max(), law.high)):
        tolerance = s.rounding(max(abs(bound), abs(law.mean))) if math.isfinite(bound) else math.inf
        beyond = bound - extreme if side == "below" else extreme - bound
        if beyond > tolerance:
            crossed = f"a value {beyond:.6g} {side} its bounds [{law.low:.6g}, {law.high:.6g}], {tolerance=:.3g}"
            raise Broken(s.what, s.target, "", "no value outside", crossed)


def kurtosis(s: Sample) -> None:
    """No more than declared, since a law may declare an upper bound; of what is drawn, and not of fixed tensors."""
    law = s.law
    if law.structure is Structure.FIXED or law.std <= s.rounding(abs(law.mean)):
        return
    measured = float(np.mean(abs(s.values - law.mean) ** 4)) / law.std**4
    most = law.kurtosis + kurtosis_tolerance(s.target.size, law.kurtosis)
    rounding = s.rounding(abs(law.mean) / law.std + most**0.25)  # ‖x + δ‖₄ ≤ ‖x‖₄ + ‖δ‖₄
    if not measured <= (most**0.25 + rounding) ** 4:
        got = f"{measured:.4g}, tolerance={most - law.kurtosis:.3g}"
        raise Broken(s.what, s.target, "kurtosis", f"{law.kurtosis:.4g} at most", got)


def distribution(s: Sample) -> None:
    """Kolmogorov–Smirnov: how far the values' distribution is from the declared one, beyond what rounding explains."""
    if (marginal := s.marginal) is not None:
        rounding = s.rounding(1.0) * (abs(s.values) + abs(s.law.mean)) + s.rounding(0.0)
        distance = ks_distance(s.values, marginal.cdf, rounding)
        expect_close(s.what, s.target, "distance from its distribution", distance, 0.0, ks_tolerance(s.target.size))


def distinct_values(s: Sample) -> None:
    """As many as a continuous law has, rounded once to the dtype."""
    if (marginal := s.marginal) is not None:
        got = len(np.unique(s.values))
        expected, variance = expected_distinct(marginal, s.law, s.target.dtype, s.target.size)
        tolerance = distinct_tolerance(variance)
        if got < expected - tolerance:
            raise Broken(s.what, s.target, "distinct values", f"{expected:.0f} at least", f"{got}, {tolerance=:.3g}")


def _summation(n: int) -> float:
    """Relative error of a sum of n terms in float64."""
    return n * 2.0**-53


MEASURED: Final[dict[str, Callable[[Sample], None]]] = {
    "number of values": number_of_values,
    "mean": mean,
    "std": std,
    "bounds": bounds,
    "kurtosis": kurtosis,
    "distribution": distribution,
    "distinct values": distinct_values,
}
