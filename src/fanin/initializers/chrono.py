"""Chrono initialization of the gates' biases."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.graph import Parts
from fanin.initializers.base import Initializer, Law, Structure, Target, all_elements, is_finite_number, rounded
from fanin.initializers.by_index import pieces
from fanin.initializers.parts import LSTM_GATES
from fanin.stream import Elements, key, uniform


@dataclass(frozen=True)
class Chrono(Initializer):
    """Forget gates' biases log U(1, T − 1), input gates' their negatives, so that memories last up to T steps.

    For a bias of four gates, in the order i, f, g, o: b_f = log u, b_i = −log u, b_g = b_o = 0. Unit j of the forget
    gate is drawn from the stream `tensor.f`.

    Args:
        longest: T, the number of steps of the longest dependency to be learned, above 2.

    Raises:
        BadInput: longest is not a finite number above 2; later, the target is not a vector of four gates.

    Reference: Tallec & Ollivier 2018, "Can recurrent neural networks warp time?", on LSTMs.
    Not for: GRUs, whose one gate does both; where the layer adds two biases (torch), give it to one of them.

    Example:
        >>> b = Chrono(longest=100).draw(Target("bias_ih_l0", (8,)), seed=0).reshape(4, 2)
        >>> bool((b[0] == -b[1]).all()), bool((b[1] > 0).all()), b[2:].any()
        (True, True, np.False_)
    """

    whole: ClassVar[bool] = True

    longest: float = 100.0

    def __post_init__(self) -> None:
        if not (is_finite_number(self.longest) and self.longest > 2):
            raise BadInput(f"Chrono: longest must be a finite number of steps above 2; got {self.longest!r}.")

    def law(self, target: Target) -> Law:
        """Of an element of any gate: half of them are 0, a quarter each ±log u. Their variance varies as declared."""
        self._units(target)
        a = self.longest - 1
        x = math.log(a)
        second = (a * (x**2 - 2 * x + 2) - 2) / (a - 1)  # E[log² u] and E[log⁴ u], by parts
        fourth = (a * (x**4 - 4 * x**3 + 12 * x**2 - 24 * x + 24) - 24) / (a - 1)
        # Σ b² = 2 Σ log² u over n/4 independent u: its variance is that of n independent draws of this kurtosis.
        kurtosis = max(2 * fourth / second**2, 1 + 4 * (fourth / second**2 - 1))
        return Law(0.0, math.sqrt(second / 2), -x, x, kurtosis, structure=Structure.DEPENDENT)

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """In float64, rounded once to the target's dtype."""
        units = max(self._units(target), 1)
        forget = key(seed, f"{target.name}.f")
        half = (self.longest - 2) / 2
        values = [np.empty(0)]
        for place in pieces(all_elements(target, elements)):
            gate, unit = np.divmod(place, units)
            u = uniform(forget, unit, half, dtype="float64", center=1 + half)
            values.append(np.array([-1.0, 1.0, 0.0, 0.0])[gate] * natural_log(u))
        return rounded(np.concatenate(values), target.dtype)

    def _units(self, target: Target) -> int:
        if len(target.shape) != 1 or target.shape[0] % len(LSTM_GATES):
            raise BadInput(
                f"{self} needs the bias of four gates, a vector of 4 × units; {target.name!r} has shape {target.shape}."
            )
        if target.parts not in (None, Parts(LSTM_GATES)):
            raise BadInput(f"{self} needs the gates i, f, g, o of an LSTM; {target.name!r} packs {target.parts}.")
        return target.shape[0] // len(LSTM_GATES)


def natural_log(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The logarithm of x > 0, to a few units in the last place, by the same elementary operations on every machine.

    `log(2^e m) = e log 2 + 2 (s + s³/3 + s⁵/5 + …)`, s = (m − 1)/(m + 1), |s| ≤ 0.172 for m in [√½, √2).

    Example:
        >>> bool(abs(natural_log(np.array([2.0, 10.0])) - np.log([2.0, 10.0])).max() < 1e-15)
        True
    """
    mantissa, exponent = np.frexp(x)
    small = mantissa < math.sqrt(0.5)
    mantissa = np.where(small, 2 * mantissa, mantissa)
    s = (mantissa - 1) / (mantissa + 1)
    square, series = s * s, np.zeros_like(s)
    for odd in range(21, 0, -2):  # 0.172^22/23 < 2^-53
        series = series * square + 1 / odd
    result: npt.NDArray[np.float64] = (exponent - small) * math.log(2) + 2 * s * series
    return result
