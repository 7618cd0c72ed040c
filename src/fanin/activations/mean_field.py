"""What a deep net of one activation does to a signal: fixed points, order and chaos, depth scales.

In a wide net with Var(w) = σ_w²/fan_in and Var(b) = σ_b², the variance q of a pre-activation and the correlation c of
two inputs follow two maps from layer to layer,

    Q(q) = σ_w² E φ(√q z)² + σ_b²,    C(c) = (σ_w² E φ(u) φ(v) + σ_b²) / q*,

and χ = σ_w² E φ'² at q* is the slope of C at 1 as well as the growth of the gradient per layer.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from fanin.activations.gain import moments
from fanin.activations.kernels import kernel_of
from fanin.activations.quadrature import Array, Function
from fanin.activations.remember import remember
from fanin.activations.resolve import resolve
from fanin.activations.roots import root, sign_changes
from fanin.activations.table import Activation
from fanin.errors import BadInput

Phase: TypeAlias = Literal["ordered", "critical", "chaotic", "unbounded"]

# Fixed points are looked for between neighbours of this grid; two that lie closer would be overlooked.
VARIANCES = 10.0 ** (np.arange(-48, 49) / 8)
NEUTRAL = 1e-9  # a relative change below this is none: the quadrature's error
CRITICAL = 1e-7  # |χ − 1| below this counts as χ = 1


class Curves(NamedTuple):
    """E φ², E φ'² and dE φ²/dq over the variance q of a centred Gaussian."""

    q: Array
    second_moment: Array
    derivative_second_moment: Array
    slope: Array


@remember(64)
def curves(phi: Activation) -> Curves:
    """The curves on the grid, cut where E φ⁴ cannot be held, as that of an exponential."""
    moments(phi)  # what is wrong with φ itself is said here
    rows: list[tuple[float, float, float, float]] = []
    for q in VARIANCES.tolist():
        try:
            seen = moments(phi, std=math.sqrt(q))
        except BadInput:
            if q > 1:
                break
            raise
        rows.append((q, seen.second_moment, seen.derivative_second_moment, seen.second_moment_slope / q))
    return Curves(*(np.array(column) for column in zip(*rows, strict=True)))


@dataclass(frozen=True)
class FixedPoint:
    """A variance q = Q(q) that layers pass on unchanged.

    Attributes:
        variance: q.
        slope: Q'(q): below 1 the variance returns to q, above 1 it leaves.
    """

    variance: float
    slope: float

    @property
    def stable(self) -> bool:
        """Whether a variance nearby comes back."""
        return abs(self.slope) < 1 - NEUTRAL


@dataclass(frozen=True)
class MeanField:
    """Where variance and correlation go in a deep net, and over how many layers.

    Attributes:
        name: of the activation.
        weight_var: σ_w².
        bias_var: σ_b².
        fixed_points: all q = Q(q) found, in order.
        variance: q*, where the variance goes from its start; inf if it grows without bound.
        chi: χ at q*; None where q* is inf.
        correlation: c*, where the correlation of two inputs goes; None where q* is 0 or inf.
        jumps: whether φ does. Then C is infinitely steep at 1, whatever χ says of the gradient: the phase is chaotic.
        variance_depth: ξ_q = −1/ln|Q'(q*)|: layers in which a deviation of the variance shrinks by e; inf where it
            does not shrink.
        correlation_depth: ξ_c, likewise for the correlation. A net of more than about 6 ξ_c layers does not train.

    Example:
        >>> print(mean_field("tanh", weight_var=1.5, bias_var=0.05))
        tanh, σ_w² 1.5, σ_b² 0.05: ordered, q* 0.418037, χ 0.938636, c* 1, ξ_q 1.68283, ξ_c 15.791

    Reference: Poole et al. 2016; Schoenholz et al. 2017.
    """

    name: str
    weight_var: float
    bias_var: float
    fixed_points: tuple[FixedPoint, ...]
    variance: float
    chi: float | None
    correlation: float | None
    variance_depth: float | None
    correlation_depth: float | None
    jumps: bool = False

    @property
    def phase(self) -> Phase:
        """Ordered (χ < 1: inputs become alike, gradients vanish), chaotic (χ > 1), critical, or unbounded."""
        if self.chi is None:
            return "unbounded"
        if self.jumps:
            return "chaotic"
        if abs(self.chi - 1) <= CRITICAL:
            return "critical"
        return "ordered" if self.chi < 1 else "chaotic"

    def to_dict(self) -> dict[str, object]:
        """Fields and the phase."""
        return asdict(self) | {"phase": self.phase}

    def __str__(self) -> str:
        shown = {"q*": self.variance, "χ": self.chi, "c*": self.correlation}
        shown |= {"ξ_q": self.variance_depth, "ξ_c": self.correlation_depth}
        numbers = ", ".join(f"{name} {value:.6g}" for name, value in shown.items() if value is not None)
        return f"{self.name}, σ_w² {self.weight_var:.6g}, σ_b² {self.bias_var:.6g}: {self.phase}, {numbers}"


def mean_field(
    what: str | Activation | Function,
    *,
    weight_var: float,
    bias_var: float = 0.0,
    start: float = 1.0,
    **parameters: float,
) -> MeanField:
    """Fixed points, phase and depth scales of a deep net with Var(w) = weight_var/fan_in and Var(b) = bias_var.

    Args:
        what: a name, an Activation or a function on float64 NumPy arrays; see `activation`.
        weight_var: σ_w², the gain squared.
        bias_var: σ_b².
        start: variance of the first pre-activation. It matters where there are several fixed points.
        parameters: of a named activation.

    Raises:
        BadInput: as `activation` and `moments`; a variance that is negative or not finite.

    Example:
        >>> seen = mean_field("relu", weight_var=2.0)
        >>> seen.phase, seen.variance, seen.correlation_depth
        ('critical', 1.0, inf)

    Not for: narrow nets, where q* is the middle of a wide law; see `Gain.beta`.
    """
    phi = resolve(what, None, parameters)
    for name, value in (("weight_var", weight_var), ("bias_var", bias_var), ("start", start)):
        check_variance(name, value)
    q = settled(phi, weight_var, bias_var, start)
    points = fixed_points(phi, weight_var, bias_var)
    if math.isinf(q):
        return MeanField(str(phi), weight_var, bias_var, points, q, None, None, None, None)
    here = max(q, VARIANCES[0] ** 2)  # at 0 the limit from above: φ may have a kink there
    chi, slope = gradient_growth(phi, weight_var, here), variance_slope(phi, weight_var, here)
    torn = weight_var > 0 and jumps(phi)
    correlation = settled_correlation(phi, weight_var, bias_var, q, math.inf if torn else chi) if q > 0 else None
    rate = None
    if correlation is not None:
        rate = chi if correlation == 1 else correlation_slope(phi, weight_var, bias_var, q, correlation)
    return MeanField(
        str(phi),
        weight_var,
        bias_var,
        points,
        q,
        chi,
        correlation,
        depth_scale(slope, NEUTRAL),
        None if rate is None else depth_scale(rate, CRITICAL),
        torn,
    )


def check_variance(name: str, value: float) -> None:
    """Refuse what is no variance."""
    if not (math.isfinite(value) and value >= 0):
        raise BadInput(f"{name} is a variance, finite and at least 0; got {value!r}.")


def depth_scale(slope: float, tolerance: float = 0.0) -> float:
    """−1/ln|slope|: layers in which what is multiplied by `slope` shrinks by e; inf where it does not shrink.

    Example:
        >>> round(depth_scale(0.5), 6), depth_scale(1.2), depth_scale(0.0)
        (1.442695, inf, 0.0)
    """
    if abs(slope) >= 1 - tolerance:
        return math.inf
    return -1 / math.log(abs(slope)) if slope else 0.0


def gradient_growth(phi: Activation, weight_var: float, q: float) -> float:
    """χ = σ_w² E φ'²."""
    return weight_var * moments(phi, std=math.sqrt(q)).derivative_second_moment


def variance_slope(phi: Activation, weight_var: float, q: float) -> float:
    """Q'(q)."""
    return weight_var * moments(phi, std=math.sqrt(q)).second_moment_slope / q


def grown(phi: Activation, weight_var: float, bias_var: float, q: float) -> float:
    """Q(q) − q."""
    return weight_var * moments(phi, std=math.sqrt(q)).second_moment + bias_var - q


def _growth(phi: Activation, weight_var: float, bias_var: float) -> Array:
    """Q(q) − q on the grid, 0 where it is within the error of the quadrature."""
    known = curves(phi)
    growth = weight_var * known.second_moment + bias_var - known.q
    return np.where(np.abs(growth) <= NEUTRAL * known.q, 0.0, growth)


def fixed_points(phi: Activation, weight_var: float, bias_var: float) -> tuple[FixedPoint, ...]:
    """All q = Q(q), in order; of those that fill an interval, as for ReLU at σ_w² = 2, none but 0."""
    known, growth = curves(phi), _growth(phi, weight_var, bias_var)
    found = []
    if bias_var == 0 and float(phi(np.zeros(1))[0]) == 0:
        found.append(FixedPoint(0.0, weight_var * float(known.second_moment[0] / known.q[0])))
    for low, high in sign_changes(growth):
        q = _crossing(phi, weight_var, bias_var, float(known.q[low]), float(known.q[high]))
        found.append(FixedPoint(q, variance_slope(phi, weight_var, q)))
    return tuple(found)


def _crossing(phi: Activation, weight_var: float, bias_var: float, low: float, high: float) -> float:
    """Where Q(q) = q between two variances, by their logarithms."""

    def relative(x: float) -> float:
        return grown(phi, weight_var, bias_var, math.exp(x)) / math.exp(x)

    return math.exp(root(relative, math.log(low), math.log(high)))


def settled(phi: Activation, weight_var: float, bias_var: float, start: float) -> float:
    """Where the variance goes from `start`: upwards or downwards to the next fixed point; inf if there is none above.

    Exact where Q rises with q. Where it falls steeply the variance may jump over a fixed point or circle around it.
    """
    known, growth = curves(phi), _growth(phi, weight_var, bias_var)
    if start > 0 and abs(grown(phi, weight_var, bias_var, start)) <= NEUTRAL * start:
        return start
    if start == 0 or grown(phi, weight_var, bias_var, start) > 0:
        first = int(np.searchsorted(known.q, start))
        below = np.flatnonzero(growth[first:] < 0)
        if not below.size:
            return math.inf
        at = first + int(below[0])
        rising, falling = max(start, float(known.q[at - 1]) if at else 0.0), float(known.q[at])
    else:
        last = int(np.searchsorted(known.q, start)) - 1
        above = np.flatnonzero(growth[: last + 1] > 0)
        if not above.size:
            return 0.0
        at = int(above[-1])
        rising, falling = float(known.q[at]), min(start, float(known.q[at + 1]))
    if rising == 0:
        return 0.0
    return _crossing(phi, weight_var, bias_var, rising, falling)


def _alike(phi: Activation, correlation: float, q: float, *, derivative: bool = False) -> float:
    return kernel_of(phi, correlation, std=math.sqrt(q), derivative=derivative)


def correlation_map(phi: Activation, weight_var: float, bias_var: float, q: float, correlation: float) -> float:
    """C(c): the correlation of two inputs one layer on, where both have variance q."""
    before = weight_var * moments(phi, std=math.sqrt(q)).second_moment + bias_var
    return (weight_var * _alike(phi, correlation, q) + bias_var) / before


def correlation_slope(phi: Activation, weight_var: float, bias_var: float, q: float, correlation: float) -> float:
    """C'(c): by the kernel of φ', or by differences where φ jumps and φ' does not tell."""
    if not jumps(phi):
        before = weight_var * moments(phi, std=math.sqrt(q)).second_moment + bias_var
        return weight_var * q / before * _alike(phi, correlation, q, derivative=True)
    step = 1e-3 * (1 - correlation)
    up, down = (correlation_map(phi, weight_var, bias_var, q, correlation + h) for h in (step, -step))
    return (up - down) / (2 * step)


@remember(64)
def jumps(phi: Activation) -> bool:
    """Whether φ is discontinuous within reach of N(0, 1).

    E φ(u) φ(v) is convex in the correlation near 1, so that it falls by less than ε E φ'² from 1 to 1 − ε, unless φ has
    jumps, which add about √ε.
    """
    seen, near = moments(phi), 1e-4
    fallen = seen.second_moment - kernel_of(phi, 1 - near)
    return fallen > near * (1.01 * seen.derivative_second_moment + 1e-3 * seen.second_moment)


def settled_correlation(phi: Activation, weight_var: float, bias_var: float, q: float, chi: float) -> float:
    """c*: 1 where χ ≤ 1, else the one other fixed point of C, which is convex from 0 to 1."""
    if chi <= 1 + CRITICAL:
        return 1.0

    def excess(c: float) -> float:
        """(C(c) − c)/(1 − c), which has no root at 1: it is 1 − χ there."""
        return 1 - chi if c == 1 else (correlation_map(phi, weight_var, bias_var, q, c) - c) / (1 - c)

    if excess(0.0) <= NEUTRAL:
        return 0.0
    return root(excess, 0.0, 1.0 if math.isfinite(chi) else 1 - 1e-9, tolerance=NEUTRAL)
