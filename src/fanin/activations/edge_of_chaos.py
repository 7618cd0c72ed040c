"""The line between order and chaos: weights and biases at which two inputs neither merge nor part.

On it χ = σ_w² E φ'² = 1 at a fixed point q = σ_w² E φ² + σ_b². Both follow from q, so that the line is traced by it:
σ_w² = 1/E φ'², σ_b² = q − E φ²/E φ'².
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fanin.activations.gain import moments
from fanin.activations.mean_field import NEUTRAL, VARIANCES, check_variance, curves, jumps
from fanin.activations.quadrature import Array, Function
from fanin.activations.resolve import resolve
from fanin.activations.roots import root, sign_changes
from fanin.activations.table import Activation
from fanin.errors import BadInput

TINY = 1e-9  # std that stands for the limit 0


@dataclass(frozen=True)
class CriticalPoint:
    """Weights and biases at which χ = 1, and the variance at which it is.

    Attributes:
        weight_var: σ_w².
        variance: q*; 0 where the signal must be small, as for tanh without biases.
        slope: Q'(q*) of the variance map.
        stable: whether a variance nearby comes to q*, slowly where the slope is 1. Where it does not, the signal
            drifts away from criticality with depth, and a plain deep net needs a norm.
    """

    weight_var: float
    variance: float
    slope: float
    stable: bool


@dataclass(frozen=True)
class EdgeOfChaos:
    """The critical points of an activation at one variance of the biases.

    Attributes:
        name: of the activation.
        bias_var: σ_b².
        points: from small q* to large; empty where χ = 1 has no fixed point.
        every_variance: whether χ = 1 at every q, as for ReLU without biases.
        reason: why there is no point, else empty.

    Example:
        >>> edge = edge_of_chaos("tanh", bias_var=0.05)
        >>> round(edge.weight_var, 5), round(edge.variance, 5), edge.stable
        (1.76095, 0.57005, True)

    Reference: Schoenholz et al. 2017; Hayou, Doucet & Rousseau 2019.
    """

    name: str
    bias_var: float
    points: tuple[CriticalPoint, ...]
    every_variance: bool = False
    reason: str = ""

    @property
    def point(self) -> CriticalPoint:
        """The stable point if there is one, else the one of the smallest q*."""
        if not self.points:
            raise BadInput(f"{self.name} has no edge of chaos at bias_var={self.bias_var:g}: {self.reason}")
        return next((point for point in self.points if point.stable), self.points[0])

    @property
    def weight_var(self) -> float:
        """σ_w² of `point`."""
        return self.point.weight_var

    @property
    def variance(self) -> float:
        """q* of `point`."""
        return self.point.variance

    @property
    def stable(self) -> bool:
        """Whether `point` is."""
        return self.point.stable

    def to_dict(self) -> dict[str, object]:
        """Fields, as plain data."""
        return {
            "name": self.name,
            "bias_var": self.bias_var,
            "points": [vars(point) for point in self.points],
            "every_variance": self.every_variance,
            "reason": self.reason,
        }

    def __str__(self) -> str:
        head = f"{self.name}, σ_b² {self.bias_var:.6g}: "
        if not self.points:
            return f"{head}no edge of chaos. {self.reason}"
        if self.every_variance:
            return f"{head}σ_w² {self.weight_var:.6g} at every q"
        return head + "; ".join(
            f"σ_w² {p.weight_var:.6g} at q* {p.variance:.6g} ({'stable' if p.stable else 'unstable'}, Q' {p.slope:.6g})"
            for p in self.points
        )


def edge_of_chaos(what: str | Activation | Function, *, bias_var: float = 0.0, **parameters: float) -> EdgeOfChaos:
    """The σ_w² at which χ = 1 at a fixed point of the variance, for biases of variance `bias_var`.

    Looked for between q = 1e-6 and 1e6, and at q → 0.

    Args:
        what: a name, an Activation or a function on float64 NumPy arrays; see `activation`.
        bias_var: σ_b².
        parameters: of a named activation.

    Raises:
        BadInput: as `activation` and `moments`; a variance that is negative or not finite.

    Example:
        >>> print(edge_of_chaos("gelu", bias_var=0.05))
        gelu, σ_b² 0.05: σ_w² 2.30252 at q* 0.722036 (unstable, Q' 1.08511)
        >>> print(edge_of_chaos("relu"))
        relu, σ_b² 0: σ_w² 2 at every q
    """
    phi = resolve(what, None, parameters)
    check_variance("bias_var", bias_var)
    known = curves(phi)
    biases = critical_biases(phi)
    if jumps(phi):
        reason = "φ jumps, and a jump parts inputs however alike they are: the net is chaotic at every σ_w² > 0."
        return EdgeOfChaos(str(phi), bias_var, (), reason=reason)
    if (np.abs(biases) <= NEUTRAL * known.q).all():
        weight_var = 1 / float(known.derivative_second_moment[len(known.q) // 2])
        if bias_var == 0:
            return EdgeOfChaos(str(phi), 0.0, (CriticalPoint(weight_var, 1.0, 1.0, stable=False),), every_variance=True)
        reason = (
            f"χ = σ_w²/{weight_var:.6g} at every q, and at σ_w² = {weight_var:.6g} biases add to the variance in each "
            "layer without end. Use bias_var=0."
        )
        return EdgeOfChaos(str(phi), bias_var, (), reason=reason)
    points = (_limit_at_zero(phi) if bias_var == 0 else []) + _crossings(phi, biases, bias_var)
    return EdgeOfChaos(str(phi), bias_var, tuple(points), reason="" if points else _why_none(biases, bias_var))


def critical_biases(phi: Activation) -> Array:
    """σ_b² = q − E φ²/E φ'² on the grid of q: negative where χ = 1 at no fixed point q, nan where φ' is 0."""
    known = curves(phi)
    with np.errstate(divide="ignore", invalid="ignore"):
        biases = np.asarray(known.q - known.second_moment / known.derivative_second_moment)
    return np.where(np.isfinite(biases), biases, np.nan)


def _crossings(phi: Activation, biases: Array, bias_var: float) -> list[CriticalPoint]:
    q = curves(phi).q
    above = biases - bias_var
    above = np.where(np.abs(above) <= NEUTRAL * q, 0.0, above)

    def excess(x: float) -> float:
        seen = moments(phi, std=math.exp(x / 2))
        return 1 - (seen.second_moment / seen.derivative_second_moment + bias_var) / math.exp(x)

    points = []
    for low, high in sign_changes(above):
        variance = math.exp(root(excess, math.log(q[low]), math.log(q[high])))
        seen = moments(phi, std=math.sqrt(variance))
        weight_var = 1 / seen.derivative_second_moment
        slope = weight_var * seen.second_moment_slope / variance
        points.append(CriticalPoint(weight_var, variance, slope, stable=abs(slope) < 1 - NEUTRAL))
    return points


def _limit_at_zero(phi: Activation) -> list[CriticalPoint]:
    """Q → 0, where φ is linear on each side of 0: χ = 1 and Q'(0) = 1 for the same weights."""
    slopes = moments(phi, std=TINY).derivative_second_moment
    if float(phi(np.zeros(1))[0]) != 0 or slopes < math.sqrt(NEUTRAL):
        return []
    known = curves(phi)
    small = known.q <= 1
    growth = known.second_moment[small] / slopes / known.q[small] - 1
    attracts = bool((growth <= NEUTRAL).all() and (growth < -NEUTRAL).any())
    return [CriticalPoint(1 / slopes, 0.0, 1.0, stable=attracts)]


def _why_none(biases: Array, bias_var: float) -> str:
    finite = biases[np.isfinite(biases)]
    if not finite.size:
        return "φ is flat: χ = 0 for all weights."
    if finite.max() < 0:
        return "E φ² > q E φ'² at every q: where χ = 1, the variance grows even without biases."
    lowest, highest = max(float(finite.min()), 0.0), float(finite.max())
    return (
        f"χ = 1 at a fixed point needs a bias_var from {lowest:.3g} to {highest:.3g} "
        f"for q from {VARIANCES[0]:g} to {VARIANCES[-1]:g}; {bias_var:g} is outside."
    )
