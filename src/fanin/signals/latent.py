"""One Gaussian behind every marginal: x = F(z), z ~ N(0, 1), known by its values at fixed nodes of z.

Moments are sums over the nodes. Two positions, or two samples, of one feature are two latents with a correlation ρ;
then E f(z₁) g(z₂) = Σ_k a_k b_k ρ^k with the Hermite coefficients a_k of f and b_k of g (Mehler's formula). No integral
over the plane is needed, whatever ρ is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

REACH: Final = 8.0  # 1e-15 of the mass lies beyond
COUNT: Final = 400  # even: 0, where rectifiers have their kink, lies midway between two nodes
TERMS: Final = 28
QUANTILES: Final = 64  # nodes for each of two independent latents that meet

# The midpoint rule converges exponentially for smooth f under a Gaussian weight, and as h² at a kink.
NODES: Final[Array] = np.asarray((np.arange(COUNT) + 0.5) * (2 * REACH / COUNT) - REACH, dtype=np.float64)
_DENSITY = np.exp(-0.5 * NODES**2)
WEIGHTS: Final[Array] = _DENSITY / _DENSITY.sum()
_PROBABILITIES: Final[Array] = np.cumsum(WEIGHTS) - WEIGHTS / 2


def hermite(z: Array) -> Array:
    """He_k(z)/√k!, orthonormal under the Gaussian."""
    rows = [np.ones_like(z), z]
    for k in range(1, TERMS - 1):
        rows.append((z * rows[k] - math.sqrt(k) * rows[k - 1]) / math.sqrt(k + 1))
    return np.stack(rows)


PROJECTION: Final[Array] = np.ascontiguousarray((hermite(NODES) * WEIGHTS).T)
_EXPONENTS: Final = np.arange(TERMS + 1.0)
_ORDERS: Final = np.arange(1.0, TERMS)
_ONES: Final = np.ones(TERMS)


def expectation(values: Array) -> Array:
    """E f(z), row by row.

    Example:
        >>> expectation(np.maximum(NODES, 0)[None] ** 2).round(6)
        array([0.5])
    """
    return values @ WEIGHTS


def coefficients(values: Array) -> Array:
    """a_k = E f(z) He_k(z)/√k!, row by row; what the series leaves of E f² comes last."""
    a = values @ PROJECTION
    return np.concatenate([a, np.sqrt(np.maximum((values * values) @ WEIGHTS - (a * a).sum(-1), 0.0))[..., None]], -1)


def series(values: Array) -> Array:
    """a_k², and last what the series leaves of E f²: E f(z₁) f(z₂) is this times `powers`."""
    a = values @ PROJECTION
    squared = np.empty((*a.shape[:-1], TERMS + 1))
    np.multiply(a, a, out=squared[..., :-1])
    squared[..., -1] = np.maximum((values * values) @ WEIGHTS - squared[..., :-1] @ _ONES, 0.0)
    return squared


def powers(rho: Array) -> Array:
    """ρ^k for each coefficient; the rest counts as the next power."""
    return np.asarray(rho)[..., None] ** _EXPONENTS


def summed(squared: Array, rhos: Sequence[Array]) -> tuple[Array, ...]:
    """Σ a_k² ρ^k, row by row, for each of these correlations."""
    if len(rhos[0]) == 1:
        found = squared @ powers(np.concatenate(rhos)).T
        return tuple(found[..., at] for at in range(len(rhos)))
    return tuple((squared * powers(rho)).sum(-1) for rho in rhos)


def summed_slope(squared: Array, rho: Array) -> Array:
    """Σ k a_k² ρ^{k−1}, the derivative by ρ, row by row; without what the series leaves."""
    return np.asarray((squared[:, 1:-1] * powers(rho)[:, :-2]) @ _ORDERS)


def covariance(values: Array, rho: Array) -> Array:
    """E f(z₁) f(z₂) for latents of correlation ρ, row by row; not centred.

    Example:
        >>> relu = np.maximum(NODES, 0)[None]
        >>> covariance(relu, np.array([0.5])).round(4)  # arc-cosine kernel: 0.3045
        array([0.3045])

    Reference: Mehler 1866; Daniely, Frostig & Singer 2016.
    """
    return covariances(values, (rho,))[0]


def covariances(values: Array, rhos: Sequence[Array]) -> tuple[Array, ...]:
    """The same for several correlations, the coefficients found once; axes in front are of several functions."""
    return summed(series(values), rhos)


def correlation_of(values: Array, wanted: Array) -> Array:
    """The ρ at which E f(z₁) f(z₂) is `wanted`, row by row; the nearest there is, if none."""
    squared = series(values)
    low, high = np.full(len(values), -1.0), np.ones(len(values))
    for _ in range(40):
        middle = (low + high) / 2
        below = (squared * powers(middle)).sum(-1) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


# The nodes at which two independent latents meet: fewer, since they meet in a plane.
_CROSS_NODES, _CROSS_WEIGHTS = np.polynomial.hermite_e.hermegauss(QUANTILES)
_CROSS_WEIGHTS = _CROSS_WEIGHTS / _CROSS_WEIGHTS.sum()
_PAIR_WEIGHTS: Final[Array] = np.outer(_CROSS_WEIGHTS, _CROSS_WEIGHTS).ravel()


def independent(f: Callable[[Array, Array], Array], x: Array, y: Array) -> Array:
    """The marginal of f(x, y) for independent x = F(z₁), y = G(z₂): its quantile function at the nodes, row by row.

    Mean and second moment are those of the plane's nodes; the values are as likely as they are there.
    """
    rows = []
    for one, other in zip(x, y, strict=True):
        at = [np.interp(_CROSS_NODES, NODES, values) for values in (one, other)]
        with np.errstate(all="ignore"):
            found = np.asarray(f(at[0][:, None], at[1][None, :]), dtype=np.float64).ravel()
        order = np.argsort(found, kind="stable")
        sorted_, weight = found[order], _PAIR_WEIGHTS[order]
        rows.append(np.interp(_PROBABILITIES, np.cumsum(weight) - weight / 2, sorted_))
        with np.errstate(over="ignore", invalid="ignore"):
            mean = found @ _PAIR_WEIGHTS
            variance = float(found**2 @ _PAIR_WEIGHTS - np.square(mean))
        rows[-1] = _moved(rows[-1], float(mean), variance)
    return np.stack(rows)


def moved(values: Array, mean: Array, variance: Array) -> Array:
    """The same shape, shifted and stretched to this mean and variance, row by row."""
    return np.stack([_moved(row, float(m), float(v)) for row, m, v in zip(values, mean, variance, strict=True)])


def _moved(row: Array, mean: float, variance: float) -> Array:
    center = float(row @ WEIGHTS)
    own = float((row - center) ** 2 @ WEIGHTS)
    return mean + (row - center) * math.sqrt(max(variance, 0.0) / own) if own > 0 else np.full_like(row, mean)


def given_one(squares: Array, total: Array, one: Array, other: Array) -> Array:
    """E[s(one + other) | one] at the nodes of the first, for independent terms.

    Args:
        squares: s, at the nodes of the latent of the sum.
        total: the sum's quantile function at the nodes; increasing.
        one, other: the terms at their nodes.
    """
    rows = []
    for s, whole, x, y in zip(squares, total, one, other, strict=True):
        at = np.interp(_CROSS_NODES, NODES, y)
        seen = np.interp((x[:, None] + at[None, :]).ravel(), whole, s).reshape(len(x), -1)
        rows.append(seen @ _CROSS_WEIGHTS)
    return np.stack(rows)


def between(values: Array, rho: Array) -> Array:
    """E f_b(z₁) f_c(z₂) for every two rows b and c, at latents of correlation ρ_bc; shape of ρ: (…, rows, rows)."""
    a = coefficients(values)
    found = np.zeros_like(rho)
    power = np.ones_like(rho)
    for k in range(a.shape[1]):
        found += np.multiply.outer(a[:, k], a[:, k]) * power
        power = power * rho
    return found
