"""E f(x) for Gaussian x, to ten digits, also where f has kinks and jumps.

Gauss–Hermite rules converge slowly at a kink. Here the line is cut at 0 and at the known kinks, and again at distances
from them that grow fourfold, so that no feature near 0 falls between the nodes even when std is 1000. Gauss–Legendre
panels that disagree with their two halves are bisected until they agree; this also finds the kinks nobody named.
Many Gaussians of one width are integrated at once: every panel knows the row, that is the mean, it belongs to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fanin.errors import BadInput

Array: TypeAlias = NDArray[np.float64]
Function: TypeAlias = Callable[[Array], Array]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
REACHES = (12.0, 38.0)  # in std: beyond 12 lies 4e-33 of the mass; beyond 38 the density underflows
CUTS_IN_STD = (0.0, -1.5, 1.5, -3.5, 3.5, -7.0, 7.0)
MAX_LEVELS = 60  # a jump of height 1 is located to 2^-60 of its panel
MAX_PANELS = 2**16  # open in one level
ROWS = 256  # integrated together: as many as keep the nodes within a few MB
ROUNDING = 2.0**-52
SMALLEST = 1e-300  # below this, sums of float64 lose digits


class Expectation(NamedTuple):
    """E f for each mean, a cautious estimate of its error, and a lower bound of E|f|."""

    value: Array
    error: Array
    magnitude: Array


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
    means = np.array([mean], dtype=np.float64)
    return float(gaussian_expectations(f, means, std=std, kinks=kinks, tolerance=tolerance, absolute=absolute).value[0])


def gaussian_expectations(
    f: Function,
    means: Array,
    *,
    std: float = 1.0,
    kinks: Iterable[float] = (),
    tolerance: float = 1e-10,
    absolute: float = 0.0,
) -> Expectation:
    """E f(x) for x ~ N(mean, std²) and every mean of a vector, with estimates of the errors.

    Args and Raises: as `gaussian_expectation`.

    Example:
        >>> gaussian_expectations(np.square, np.array([0.0, 3.0]), std=2.0).value.round(9)
        array([ 4., 13.])
    """
    if not (math.isfinite(std) and std >= 0 and np.isfinite(means).all()):
        raise BadInput(f"A Gaussian needs a finite mean and a finite std ≥ 0; got mean={_shown(means)}, std={std!r}.")
    if not (tolerance >= 1e-14 and absolute >= 0):
        raise BadInput(f"float64 allows tolerance ≥ 1e-14 and absolute ≥ 0; got {tolerance!r} and {absolute!r}.")
    if std == 0:
        values = evaluate(f, means)
        return Expectation(values, np.zeros_like(values), np.abs(values))
    kinks, absolute = tuple(kinks), max(absolute, SMALLEST)
    parts = [
        _expectations(f, means[at : at + ROWS], std=std, kinks=kinks, tolerance=tolerance, absolute=absolute)
        for at in range(0, len(means), ROWS)
    ]
    return Expectation(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _expectations(
    f: Function, means: Array, *, std: float, kinks: tuple[float, ...], tolerance: float, absolute: float
) -> Expectation:
    for reach in REACHES:
        edges = breakpoints(kinks, std, means, reach)
        found = _integrate(f, edges, std=std, means=means, tolerance=tolerance, absolute=absolute)
        ends = np.abs(evaluate(f, np.concatenate([means - reach * std, means + reach * std]))).reshape(2, -1)
        beyond = ends.max(axis=0) * math.exp(-reach * reach / 2)
        if (beyond <= np.maximum(tolerance * found.magnitude, absolute)).all():
            return found
    raise BadInput(f"E f does not exist or cannot be held: f grows too fast for a Gaussian of std {std:g}.")


def breakpoints(kinks: Iterable[float], std: float, means: Array, reach: float) -> Array:
    """Edges of the first panels, in z = (x − mean)/std: fixed in z for the bell, fixed in x for what f does.

    One sorted row for each mean; edges out of reach lie on its ends.
    """
    longest = float(np.abs(means).max()) + reach * std
    distances = 4.0 ** np.arange(-2, max(0, math.ceil(math.log(longest, 4))))
    anchors = np.array([0.0, *kinks])[:, None]
    in_x = np.unique(np.concatenate([anchors, anchors - distances, anchors + distances], axis=1))
    in_z = (in_x - means[:, None]) / std
    bell = np.broadcast_to([-reach, *CUTS_IN_STD, reach], (len(means), len(CUTS_IN_STD) + 2))
    return np.sort(np.clip(np.concatenate([in_z, bell], axis=1), -reach, reach), axis=1)


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
    f: Function, edges: Array, *, std: float, means: Array, tolerance: float, absolute: float
) -> Expectation:
    """E f, row by row. Each level evaluates all open panels of all rows at once."""
    rows, columns = np.nonzero(edges[:, 1:] > edges[:, :-1])
    left, right = edges[rows, columns], edges[rows, columns + 1]

    def by_row(of: NDArray[np.intp], amounts: Array) -> Array:
        return np.bincount(of, amounts, minlength=len(means)).astype(np.float64, copy=False)

    whole, sizes = _panels(f, std, means[rows], left, right)
    total, error, magnitude = np.zeros(len(means)), np.zeros(len(means)), by_row(rows, sizes)
    for _ in range(MAX_LEVELS):
        panels = np.bincount(rows, minlength=len(means))
        # Errors of panels add as noise does.
        allowed = np.maximum(tolerance * magnitude, absolute) / np.sqrt(np.maximum(panels, 1))
        middle = (left + right) / 2
        starts, ends, both = np.concatenate([left, middle]), np.concatenate([middle, right]), np.tile(rows, 2)
        halves, sizes = _panels(f, std, means[both], starts, ends)
        magnitude = np.maximum(magnitude, by_row(both, sizes))  # E|f| is more than the first nodes may have seen
        refined = halves[: len(rows)] + halves[len(rows) :]
        difference = np.abs(whole - refined)
        open_ = difference > allowed[rows]
        done = ~open_
        total += by_row(rows[done], refined[done])
        error += by_row(rows[done], difference[done])
        if not open_.any():
            total[np.abs(total) <= ROUNDING * magnitude] = 0.0  # what is left of a sum that cancels, as of an odd f
            return Expectation(total, error, magnitude)
        if open_.sum() > MAX_PANELS:
            break
        again = np.concatenate([open_, open_])
        left, right, whole, rows = starts[again], ends[again], halves[again], both[again]
    where = means[rows[0]] + std * float(left[0])
    raise BadInput(
        f"E f did not converge near x = {where:.6g}: {_name(f)} is random, has a pole there, "
        "or oscillates faster than can be resolved."
    )


def _panels(f: Function, std: float, mean: Array, left: Array, right: Array) -> tuple[Array, Array]:
    """∫ f φ dz and ∫ |f| φ dz over each panel [left, right] of z; φ is the standard normal density."""
    half = ((right - left) / 2)[:, None]
    z = ((left + right) / 2)[:, None] + half * NODES
    values = evaluate(f, (mean[:, None] + std * z).ravel()).reshape(z.shape)
    weighted = values * (half * WEIGHTS) * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return weighted.sum(axis=1), np.abs(weighted).sum(axis=1)


def _name(f: object) -> str:
    return str(getattr(f, "__name__", type(f).__name__))


def _shown(means: Array) -> str:
    return repr(float(means[0])) if len(means) == 1 else str(means)
