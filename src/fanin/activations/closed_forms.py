"""Kernels with a closed form, E φ(u) φ(v) and E φ'(u) φ'(v) for centred Gaussians (u, v), keyed by the function φ.

Each takes the variances p, q, the covariance k, and the parameters of its family. Quadrature checks every one of them
in the tests. To add one: a function and a row of `CLOSED_FORMS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

import numpy as np

from fanin.activations import table
from fanin.activations.quadrature import Array
from fanin.activations.table import Activation

Kernel: TypeAlias = Callable[..., float]


def _root(p: float, q: float, k: float) -> float:
    """√(pq − k²): 0 where u and v are proportional."""
    scale = math.sqrt(p * q)
    return math.sqrt(max((scale - k) * (scale + k), 0.0))


def _angle(p: float, q: float, k: float) -> float:
    """Arccos of the correlation, exact also near 0 and π."""
    return math.atan2(_root(p, q, k), k)


def _identity(p: float, q: float, k: float) -> float:
    return k


def _one(p: float, q: float, k: float) -> float:
    return 1.0


def _leaky(p: float, q: float, k: float, negative_slope: float = 0.0) -> float:
    """Arc-cosine kernel of order 1 (Cho & Saul 2009, eq. 6), with the line of slope (1 + a)/2 that leaky ReLU adds."""
    a, theta = negative_slope, _angle(p, q, k)
    return (1 - a) ** 2 / (2 * math.pi) * (_root(p, q, k) - theta * k) + (1 + a * a) / 2 * k


def _leaky_slopes(p: float, q: float, k: float, negative_slope: float = 0.0) -> float:
    """Arc-cosine kernel of order 0 (Cho & Saul 2009, eq. 5)."""
    a, theta = negative_slope, _angle(p, q, k)
    return (1 + a * a) / 2 - (1 - a) ** 2 * theta / (2 * math.pi)


def _relu_squared(p: float, q: float, k: float) -> float:
    """Arc-cosine kernel of order 2 (Cho & Saul 2009, eq. 7)."""
    theta = _angle(p, q, k)
    return (3 * k * _root(p, q, k) + (math.pi - theta) * (p * q + 2 * k * k)) / (2 * math.pi)


def _relu_squared_slopes(p: float, q: float, k: float) -> float:
    return 4 * _leaky(p, q, k)


def _erf(p: float, q: float, k: float) -> float:
    """Williams 1997, eq. 11."""
    return 2 / math.pi * math.asin(2 * k / math.sqrt((1 + 2 * p) * (1 + 2 * q)))


def _erf_slopes(p: float, q: float, k: float) -> float:
    return 4 / math.pi / math.sqrt((1 + 2 * p) * (1 + 2 * q) - 4 * k * k)


def _sin(p: float, q: float, k: float) -> float:
    """Half of E cos(u − v) − E cos(u + v)."""
    return 0.5 * (math.exp(k - (p + q) / 2) - math.exp(-k - (p + q) / 2))


def _sin_slopes(p: float, q: float, k: float) -> float:
    return 0.5 * (math.exp(k - (p + q) / 2) + math.exp(-k - (p + q) / 2))


def _gelu(p: float, q: float, k: float) -> float:
    """E u v Φ(u) Φ(v) by Stein's lemma, three times. Tsuchida et al. 2021 have the case p = q."""
    density, mass = _probit(p, q, k)
    return k * mass + density * (p * q + k * k * (1 / (1 + p) + 1 / (1 + q) - 1))


def _gelu_slopes(p: float, q: float, k: float) -> float:
    """φ' = Φ + u ϕ(u)."""
    density, mass = _probit(p, q, k)
    return mass + k * density * (1 / (1 + p) + 1 / (1 + q) + 1 / ((1 + p) * (1 + q) - k * k))


def _probit(p: float, q: float, k: float) -> tuple[float, float]:
    """E ϕ(u) ϕ(v) and E Φ(u) Φ(v), the mass of a quadrant; ϕ and Φ are the standard normal density and its integral."""
    delta = math.sqrt((1 + p) * (1 + q) - k * k)
    return 1 / (2 * math.pi * delta), 0.25 + math.atan2(k, delta) / (2 * math.pi)


CLOSED_FORMS: Final[dict[Callable[..., Array], tuple[Kernel, Kernel]]] = {
    np.positive: (_identity, _one),
    table._relu: (_leaky, _leaky_slopes),
    table._leaky: (_leaky, _leaky_slopes),
    table._relu_squared: (_relu_squared, _relu_squared_slopes),
    table._erf: (_erf, _erf_slopes),
    table._gelu: (_gelu, _gelu_slopes),
    np.sin: (_sin, _sin_slopes),
}


def closed_form(phi: Activation) -> tuple[Kernel, Kernel] | None:
    """The kernels of φ and of φ', each a function of (p, q, k); None where no closed form is known.

    Example:
        >>> kernels = closed_form(table.TABLE["erf"])
        >>> round(kernels[0](1.0, 1.0, 0.5), 6) if kernels else None
        0.216347
    """
    bound = phi.function if isinstance(phi.function, partial) else partial(phi.function)
    function, parameters = bound.func, bound.keywords
    try:
        known = CLOSED_FORMS.get(function)
    except TypeError:  # a function object without a hash
        return None
    return known and (partial(known[0], **parameters), partial(known[1], **parameters))
