"""χ over the plane of weights and biases, with the line χ = 1 that parts order from chaos."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fanin.activations.edge_of_chaos import critical_biases
from fanin.activations.mean_field import NEUTRAL, Curves, check_variance, curves, jumps
from fanin.activations.quadrature import Array, Function
from fanin.activations.resolve import resolve
from fanin.activations.table import Activation

FINE = 4001  # points to which the curves are interpolated: their steps are 1.7e-3 of a variance


@dataclass(frozen=True)
class PhaseDiagram:
    """χ at the variance that a signal of variance `start` settles at.

    Attributes:
        name: of the activation.
        weight_vars: σ_w² of the columns.
        bias_vars: σ_b² of the rows.
        chi: χ, row by row, of the gradient where φ jumps; inf where the variance grows without bound.
        critical_line: (σ_w², σ_b²) where χ = 1 at a fixed point, whether that is reached from `start` or not.
        start: variance of the first pre-activation.
    """

    name: str
    weight_vars: tuple[float, ...]
    bias_vars: tuple[float, ...]
    chi: tuple[tuple[float, ...], ...]
    critical_line: tuple[tuple[float, float], ...]
    start: float


def phase_diagram(
    what: str | Activation | Function,
    weight_vars: Sequence[float] | None = None,
    bias_vars: Sequence[float] | None = None,
    *,
    start: float = 1.0,
    **parameters: float,
) -> PhaseDiagram:
    """The phase diagram of an activation, for a plot: interpolated, χ to about 0.3 %.

    Args:
        what: a name, an Activation or a function on float64 NumPy arrays; see `activation`.
        weight_vars: σ_w² of the columns; by default 0 to twice that of χ = 1 at q = 1.
        bias_vars: σ_b² of the rows; by default 0 to 0.5.
        start: variance of the first pre-activation.
        parameters: of a named activation.

    Example:
        >>> diagram = phase_diagram("tanh", weight_vars=[1.0, 2.0], bias_vars=[0.05])
        >>> [round(chi, 2) for chi in diagram.chi[0]]
        [0.76, 1.05]

    For exact values at one place: `mean_field`.
    """
    phi = resolve(what, None, parameters)
    check_variance("start", start)
    known = curves(phi)
    if weight_vars is None:
        middle = float(np.interp(0.0, np.log(known.q), known.derivative_second_moment))
        weight_vars = np.linspace(0, 2 / middle if middle else 4.0, 61)[1:].tolist()
    if bias_vars is None:
        bias_vars = np.linspace(0, 0.5, 41).tolist()
    fine = _refined(known)
    return PhaseDiagram(
        str(phi),
        tuple(map(float, weight_vars)),
        tuple(map(float, bias_vars)),
        tuple(tuple(_chi(fine, w, b, start) for w in weight_vars) for b in bias_vars),
        tuple(_critical_line(phi, fine, max(weight_vars), max(bias_vars))),
        start,
    )


def _refined(known: Curves) -> Curves:
    """The curves on a finer grid; logarithms are nearly straight in log q."""
    x = np.log(known.q)
    fine = np.linspace(x[0], x[-1], FINE)

    def along(y: Array) -> Array:
        return np.asarray(np.exp(np.interp(fine, x, np.log(np.maximum(y, 1e-300)))))

    return Curves(np.exp(fine), along(known.second_moment), along(known.derivative_second_moment), along(known.slope))


def _chi(fine: Curves, weight_var: float, bias_var: float, start: float) -> float:
    growth = weight_var * fine.second_moment + bias_var - fine.q
    growth = np.where(np.abs(growth) <= NEUTRAL * fine.q, 0.0, growth)
    here = int(np.searchsorted(fine.q, start).clip(0, len(fine.q) - 1))
    if growth[here] > 0:
        ends = np.flatnonzero(growth[here:] <= 0)
        if not ends.size:
            return math.inf
        here += int(ends[0])
    elif growth[here] < 0:
        ends = np.flatnonzero(growth[: here + 1] >= 0)
        here = int(ends[-1]) if ends.size else 0
    return weight_var * float(fine.derivative_second_moment[here])


def _critical_line(phi: Activation, fine: Curves, widest: float, highest: float) -> Iterator[tuple[float, float]]:
    """The line within the picture, in order of q."""
    if jumps(phi):
        return
    if (np.abs(critical_biases(phi)) <= NEUTRAL * curves(phi).q).all():
        yield 1 / float(fine.derivative_second_moment[0]), 0.0
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = 1 / fine.derivative_second_moment
        biases = fine.q - fine.second_moment * weights
    inside = (biases >= 0) & (biases <= highest) & (weights <= widest)
    yield from zip(weights[inside].tolist(), biases[inside].tolist(), strict=True)
