"""E f(x) for Gaussian x, to ten digits, also where f has kinks and jumps.

Gauss–Hermite rules converge slowly at a kink. Here the line is cut at 0 and at the known kinks, and again at distances
from them that grow fourfold, so that no feature near 0 falls between the nodes even when std is 1000. Gauss–Legendre
panels that disagree with their two halves are bisected until they agree; this also finds the kinks nobody named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fanin.errors import BadInput

Array: TypeAlias = NDArray[np.float64]
Function: TypeAlias = Callable[[Array], Array]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
REACHES = (12.0, 38.0)  # in std: beyond 12 lies 4e-33 of the mass; beyond 38 the density underflows
CUTS_IN_STD = (0.0, -1.5, 1.5, -3.5, 3.5, -7.0, 7.0)
MAX_LEVELS = 60  # a jump of height 1 is located to 2^-60 of its panel
MAX_PANELS = 2**16  # in one level
SMALLEST = 1e-300  # below this, sums of float64 lose digits


def gaussian_expectation(
    f: Function,
    *,
    std: float = 1.0,
    mean: float = 0.0,
    kinks: Iterable[float] = (),
    tolerance: float = 1e-10,
    absolute: float = 0.0,
) -> float:
    """E f(x) for x ~ N(mean, std²), by adaptive Gauss–Legendre quadrature.

    Panels are bisected until their estimated errors add up to `tolerance` · E|f|, or to `absolute` if that is more.

    Args:
        f: maps a float64 array to an array of the same shape.
        std: of the Gaussian; 0 gives f(mean).
        mean: of the Gaussian.
        kinks: where f has a kink or a jump. Those left out are found by bisection, at some cost.
        tolerance: relative to E|f|.
        absolute: an error that does not matter; set it where f is known to be rounding noise below it.

    Raises:
        BadInput: f returns another shape or non-finite values, or the integral does not converge.

    Example:
        >>> round(gaussian_expectation(lambda x: np.maximum(x, 0) ** 2, std=2.0), 9)
        2.0

    Reference: Davis & Rabinowitz 1984, ch. 6 (automatic integration).
    """
    if not (math.isfinite(std) and std >= 0 and math.isfinite(mean)):
        raise BadInput(f"A Gaussian needs a finite mean and a finite std ≥ 0; got mean={mean!r}, std={std!r}.")
    if not (tolerance >= 1e-14 and absolute >= 0):
        raise BadInput(f"float64 allows tolerance ≥ 1e-14 and absolute ≥ 0; got {tolerance!r} and {absolute!r}.")
    if std == 0:
        return float(evaluate(f, np.array([mean], dtype=np.float64))[0])
    kinks, absolute = tuple(kinks), max(absolute, SMALLEST)
    for reach in REACHES:
        edges = breakpoints(kinks, std, mean, reach)
        total, magnitude = _integrate(f, edges, std=std, mean=mean, tolerance=tolerance, absolute=absolute)
        ends = evaluate(f, np.array([mean - reach * std, mean + reach * std]))
        beyond = float(np.abs(ends).max()) * math.exp(-reach * reach / 2)
        if beyond <= max(tolerance * magnitude, absolute):
            return total
    raise BadInput(f"E f does not exist or cannot be held: f grows too fast for a Gaussian of std {std:g}.")


def breakpoints(kinks: Iterable[float], std: float, mean: float, reach: float) -> Array:
    """Edges of the first panels, in z = (x − mean)/std: fixed in z for the bell, fixed in x for what f does."""
    longest = abs(mean) + reach * std
    distances = 4.0 ** np.arange(-2, max(0, math.ceil(math.log(longest, 4))))
    anchors = np.array([0.0, *kinks])[:, None]
    in_x = np.concatenate([anchors, anchors - distances, anchors + distances], axis=1).ravel()
    in_z = np.concatenate([(in_x - mean) / std, CUTS_IN_STD])
    return np.unique(np.concatenate([[-reach], in_z[np.abs(in_z) < reach], [reach]]))


def evaluate(f: Function, x: Array) -> Array:
    """f(x) as float64, checked: same shape, finite.

    Example:
        >>> evaluate(np.tanh, np.zeros(2))
        array([0., 0.])
    """
    try:
        with np.errstate(all="ignore"):  # what overflows is reported below, with its x
            y = np.asarray(f(x))
    except BadInput:  # f evaluates another function, which has said what is wrong
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"{_name(f)} must take and return a float64 NumPy array; it failed with: {error}") from error
    if y.shape != x.shape or y.dtype.kind not in "fiub":
        raise BadInput(
            f"{_name(f)} must be elementwise: for float64 of shape {x.shape} it returned {y.dtype} of shape {y.shape}."
        )
    bad = ~np.isfinite(y)
    if bad.any():
        raise BadInput(f"{_name(f)} must be finite; at x = {float(x[bad][0]):.6g} it is {y[bad][0]}.")
    return y.astype(np.float64, copy=False)


def _integrate(
    f: Function, edges: Array, *, std: float, mean: float, tolerance: float, absolute: float
) -> tuple[float, float]:
    """E f and a lower bound of E|f|. Each level evaluates all open panels at once."""
    left, right = edges[:-1], edges[1:]
    whole, sizes = _panels(f, std, mean, left, right)
    total, magnitude = 0.0, float(sizes.sum())
    for _ in range(MAX_LEVELS):
        allowed = max(tolerance * magnitude, absolute) / math.sqrt(len(whole))  # errors of panels add as noise does
        middle = (left + right) / 2
        starts, ends = np.concatenate([left, middle]), np.concatenate([middle, right])
        halves, sizes = _panels(f, std, mean, starts, ends)
        magnitude = max(magnitude, float(sizes.sum()))  # E|f| is more than what the first nodes may have seen
        first, second = np.split(halves, 2)
        open_ = np.abs(whole - (first + second)) > allowed
        total += float((first + second)[~open_].sum())
        if not open_.any():
            return total, magnitude
        if open_.sum() > MAX_PANELS:
            break
        again = np.concatenate([open_, open_])
        left, right, whole = starts[again], ends[again], halves[again]
    where = mean + std * float(left[0])
    raise BadInput(
        f"E f did not converge near x = {where:.6g}: {_name(f)} is random, or oscillates faster than can be resolved."
    )


def _panels(f: Function, std: float, mean: float, left: Array, right: Array) -> tuple[Array, Array]:
    """∫ f φ dz and ∫ |f| φ dz over each panel [left, right] of z; φ is the standard normal density."""
    half = ((right - left) / 2)[:, None]
    z = ((left + right) / 2)[:, None] + half * NODES
    values = evaluate(f, (mean + std * z).ravel()).reshape(z.shape)
    weighted = values * (half * WEIGHTS) * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return weighted.sum(axis=1), np.abs(weighted).sum(axis=1)


def _name(f: object) -> str:
    return str(getattr(f, "__name__", type(f).__name__))
