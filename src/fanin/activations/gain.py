"""What an activation does to the moments of a Gaussian pre-activation."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from fanin.activations.quadrature import Array, Function, evaluate, gaussian_expectations
from fanin.activations.remember import remember
from fanin.activations.resolve import CentralDifference, resolve
from fanin.activations.table import Activation
from fanin.errors import BadInput

RATIOS = ("forward", "forward_variance", "backward", "chi", "eta", "beta")
EPSILON = 2.0**-52
DIFFERENCES = 1e-8  # relative error of φ' by differences; see CentralDifference


@dataclass(frozen=True)
class Gain:
    """Moments of φ(x) and φ'(x) for x ~ N(mean, std²), and the gains that follow from them.

    A gain multiplies the std of the weights: with Var(w) = gain²/fan_in, what `forward` keeps is E φ².
    The ratios are properties, and raise BadInput where they would divide by 0.

    Attributes:
        name: of the activation, with its parameters.
        mean: E φ.
        second_moment: E φ².
        variance: E (φ − E φ)².
        fourth_moment: E φ⁴.
        derivative_second_moment: E φ'².
        second_moment_slope: E x φ φ', which is d E φ(√q x)² / d log q at q = 1.
        error: a cautious estimate of the largest error of the fields above, each relative to the mean absolute value
            of what it averages. More than 1e-6 is never returned: `moments` raises.

    Example:
        >>> gain = moments("relu")
        >>> round(gain.forward, 6), round(gain.beta, 6)
        (1.414214, 5.0)

    References: He et al. 2015; Brock et al. 2021 (variance gains); Schoenholz et al. 2017 (χ); Hanin & Nica 2020 (β).
    """

    name: str
    mean: float
    second_moment: float
    variance: float
    fourth_moment: float
    derivative_second_moment: float
    second_moment_slope: float
    error: float = 0.0

    @property
    def forward(self) -> float:
        """1/√E φ²: keeps the second moment through φ and the next weights."""
        return 1 / math.sqrt(self._nonzero(self.second_moment, "φ"))

    @property
    def forward_variance(self) -> float:
        """1/√Var φ: keeps the variance, where centred weights remove the mean (NF-Nets)."""
        rounding = (64 * EPSILON) ** 2 * self.second_moment
        return 1 / math.sqrt(self._nonzero(self.variance if self.variance > rounding else 0.0, "φ − E φ"))

    @property
    def backward(self) -> float:
        """1/√E φ'²: keeps the second moment of the gradient."""
        return 1 / math.sqrt(self._nonzero(self.derivative_second_moment, "φ'"))

    @property
    def chi(self) -> float:
        """χ = E φ'² / E φ²: growth of the gradient per layer whose forward second moment is kept."""
        return self.derivative_second_moment / self._nonzero(self.second_moment, "φ")

    @property
    def eta(self) -> float:
        """η = d log E φ² / d log q: how a relative error of the incoming second moment q is passed on.

        Mean and std are scaled together. φ' is the almost-everywhere derivative, so a jump of φ is not counted.
        """
        return self.second_moment_slope / self._nonzero(self.second_moment, "φ")

    @property
    def beta(self) -> float:
        """β = E φ⁴/(E φ²)² − 1: Var log q gains β/n in a layer of width n."""
        return self.fourth_moment / self._nonzero(self.second_moment, "φ") ** 2 - 1

    def _nonzero(self, moment: float, what: str) -> float:
        if moment > 0:
            return moment
        raise BadInput(
            f"{self.name} has no gain here: {what} is 0 on (almost) every input this Gaussian reaches. "
            "Use another activation, or another mean and std."
        )

    def to_dict(self) -> dict[str, str | float | None]:
        """Fields and ratios; a ratio that would divide by 0 is None."""
        return asdict(self) | {ratio: self._ratio(ratio) for ratio in RATIOS}

    def _ratio(self, name: str) -> float | None:
        try:
            return float(getattr(self, name))
        except BadInput:
            return None

    def __str__(self) -> str:
        shown = {"E φ": self.mean, "E φ²": self.second_moment, "Var φ": self.variance}
        shown |= {"E φ'²": self.derivative_second_moment}
        ratios = {"gain": self._ratio("forward"), "χ": self._ratio("chi")}
        ratios |= {"η": self._ratio("eta"), "β": self._ratio("beta")}
        shown |= {name: value for name, value in ratios.items() if value is not None}
        return f"{self.name}: " + ", ".join(f"{name} {value:.6g}" for name, value in shown.items())


def moments(what: str | Activation | Function, *, std: float = 1.0, mean: float = 0.0, **parameters: float) -> Gain:
    """Moments and gains of an activation on x ~ N(mean, std²).

    Each field is accurate to about 1e-9 of the mean absolute value of what it averages; 1e-8 where the derivative is
    taken by differences. `Gain.error` is the estimate.

    Args:
        what: a name, an Activation or a function on float64 NumPy arrays; see `activation`.
        std: of the pre-activation.
        mean: of the pre-activation.
        parameters: of a named activation.

    Raises:
        BadInput: as `activation` and `gaussian_expectation`.

    Example:
        >>> print(moments("relu"))
        relu: E φ 0.398942, E φ² 0.5, Var φ 0.340845, E φ'² 0.5, gain 1.41421, χ 1, η 1, β 5
        >>> round(moments("leaky_relu", negative_slope=0.2).forward, 6)
        1.38675

    Not for: the discrete distribution of a quantised network, or the heavy tails of a trained one.
    """
    return _moments(resolve(what, None, parameters), float(std), float(mean))


@remember(4096)
def _moments(phi: Activation, std: float, mean: float) -> Gain:
    errors = [DIFFERENCES if isinstance(phi.derivative, CentralDifference) else 0.0]

    def expect(f: Function, absolute: float = 0.0) -> float:
        found = gaussian_expectations(f, np.array([mean]), std=std, kinks=phi.kinks, absolute=absolute)
        value, error, magnitude = (float(column[0]) for column in found)
        errors.append(error / magnitude if magnitude > absolute else 0.0)
        return value

    def function(x: Array) -> Array:
        return evaluate(phi.function, x)

    def derivative(x: Array) -> Array:
        return evaluate(phi.derivative, x)

    function.__name__ = phi.name  # for the message when φ itself cannot be integrated
    first = expect(function)
    second = expect(lambda x: function(x) ** 2)
    return Gain(
        name=str(phi),
        mean=first,
        second_moment=second,
        # Centred first: E φ² − (E φ)² would cancel when std is small.
        variance=expect(lambda x: (function(x) - first) ** 2, absolute=EPSILON * second),
        fourth_moment=expect(lambda x: function(x) ** 4),
        derivative_second_moment=expect(lambda x: derivative(x) ** 2),
        second_moment_slope=expect(lambda x: x * function(x) * derivative(x)),
        error=max(errors),
    )
