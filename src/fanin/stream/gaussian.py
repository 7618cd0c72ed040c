"""The normal law in decimal arithmetic: the same on every machine, since libm's erf differs in its last bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import lru_cache
from typing import NamedTuple

_PI = Decimal("3.14159265358979323846264338327950288419716939937511")
_NO_CUT = 12.0  # sigmas: 1e-33 of the mass lies beyond
_UNIFORM = 1e-6  # sigmas: so close together, cuts leave a uniform law, whose fourth moment fifty digits do not tell


@contextmanager
def exact_digits() -> Iterator[None]:
    """Fifty digits, whatever the caller's own decimal context is."""
    with localcontext(Context(prec=50, rounding=ROUND_HALF_EVEN, traps=[])):
        yield


def normal_density(a: Decimal) -> Decimal:
    """ϕ(a) = exp(−a²/2)/√(2π)."""
    return (-a * a / 2).exp() / (2 * _PI).sqrt()


def normal_cdf(a: Decimal) -> Decimal:
    """Φ(a) for |a| ≤ 8 or so, to 30 digits.

    Reference: Φ(a) = ½ + ϕ(a)·(a + a³/3 + a⁵/(3·5) + …), Abramowitz & Stegun 1964, 26.2.11.
    """
    return Decimal("0.5") + normal_density(a) * (a + _beyond_linear(a))


def _beyond_linear(a: Decimal) -> Decimal:
    """a³/3 + a⁵/(3·5) + a⁷/(3·5·7) + …, all of one sign: nothing cancels, however small a is."""
    term, total, odd = a, Decimal(0), 1
    while abs(term) > abs(total) * Decimal("1e-45"):
        odd += 2
        term *= a * a / odd
        total += term
    return total


@lru_cache(maxsize=256)
def truncated_std(cut: float) -> float:
    """Standard deviation of a standard normal conditioned on |z| ≤ cut: √(1 − 2 c ϕ(c)/(2Φ(c) − 1)).

    With 2Φ(c) − 1 = 2 ϕ(c) (c + r), r = c³/3 + c⁵/15 + …, that is √(r/(c + r)): c/√3 for small c.

    Example:
        >>> round(truncated_std(2.0), 6)
        0.879626
    """
    if cut > 9:  # 1 − 1e-17: 1 in float64
        return 1.0
    with exact_digits():
        c = Decimal(cut)
        rest = _beyond_linear(c)
        return float((rest / (c + rest)).sqrt())


class TruncatedMoments(NamedTuple):
    """Of a standard normal between two cuts."""

    mean: float
    std: float
    kurtosis: float


@lru_cache(maxsize=256)
def truncated_moments(low: float, high: float) -> TruncatedMoments:
    """Mean, standard deviation and kurtosis of a standard normal conditioned on low ≤ z ≤ high.

    Raw moments by parts: `m_k = (k − 1) m_{k−2} + (low^{k−1} ϕ(low) − high^{k−1} ϕ(high))/(Φ(high) − Φ(low))`.

    Example:
        >>> mean, std, kurtosis = truncated_moments(0.0, float("inf"))
        >>> round(mean, 6), round(std, 6)  # √(2/π), √(1 − 2/π)
        (0.797885, 0.60281)

    Reference: Johnson, Kotz & Balakrishnan 1994, "Continuous Univariate Distributions" 1, §10.1.
    """
    with exact_digits():
        a, b = (Decimal(min(max(cut, -_NO_CUT), _NO_CUT)) for cut in (low, high))
        mass = normal_cdf(b) - normal_cdf(a)
        m = [Decimal(1), (normal_density(a) - normal_density(b)) / mass]
        for k in (2, 3, 4):
            edges = a ** (k - 1) * normal_density(a) - b ** (k - 1) * normal_density(b)
            m.append((k - 1) * m[k - 2] + edges / mass)
        variance = m[2] - m[1] ** 2
        if b - a < _UNIFORM:
            return TruncatedMoments(float(m[1]), float(variance.sqrt()), 1.8)
        fourth = m[4] - 4 * m[1] * m[3] + 6 * m[1] ** 2 * m[2] - 3 * m[1] ** 4
        return TruncatedMoments(float(m[1]), float(variance.sqrt()), float(fourth / variance**2))
