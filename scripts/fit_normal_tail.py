"""Fit the polynomial of `fanin.activations.normal`, and print its coefficients and its largest error.

    python scripts/fit_normal_tail.py

g(t) = (1 + 2x) e^{x²} erfc x with x = 3.75 (1 + t)/(1 − t) goes smoothly from 1 at t = −1 (x = 0) to 2/√π at t = 1
(x = ∞). Its Chebyshev series, computed to 60 digits with mpmath, is cut off where terms fall below 1e-17, and written
in powers of t.
"""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np

from fanin.activations.normal import normal_cdf

MIDDLE = mpmath.mpf("3.75")
NODES, DEGREE = 48, 24


def exact(t: Any) -> Any:
    """G(t); beyond x = 500 by the asymptotic series."""
    x = MIDDLE * (1 + t) / (1 - t)
    if x < 500:
        return (1 + 2 * x) * mpmath.exp(x * x) * mpmath.erfc(x)
    total, term = mpmath.mpf(0), mpmath.mpf(1)
    for n in range(30):
        total, term = total + term, -term * (2 * n + 1) / (2 * x * x)
    return (1 + 2 * x) * total / (x * mpmath.sqrt(mpmath.pi))


def coefficients() -> list[float]:
    """Of the powers of t, the lowest first."""
    angles = [mpmath.pi * (j + mpmath.mpf(1) / 2) / NODES for j in range(NODES)]
    values = [exact(mpmath.cos(angle)) for angle in angles]
    series = [
        (2 if k else 1) * sum(v * mpmath.cos(k * a) for v, a in zip(values, angles, strict=True)) / NODES
        for k in range(DEGREE + 1)
    ]
    before, current = [mpmath.mpf(1)], [mpmath.mpf(0), mpmath.mpf(1)]  # T_0 and T_1
    powers = [series[0], series[1]] + [mpmath.mpf(0)] * (DEGREE - 1)
    for c in series[2:]:
        following = [mpmath.mpf(0), *(2 * x for x in current)]
        for at, x in enumerate(before):
            following[at] -= x
        before, current = current, following
        for at, x in enumerate(current):
            powers[at] += c * x
    return [float(x) for x in powers]


def main() -> None:
    with mpmath.workdps(60):
        print("\n".join(repr(c) for c in coefficients()))
        x = np.linspace(-37, 8, 4501)
        wanted = np.array([float(mpmath.erfc(mpmath.mpf(v) / -mpmath.sqrt(2)) / 2) for v in x.tolist()])
    error = np.abs(normal_cdf(x) / wanted - 1)
    for reach in (1, 8, 37):
        largest = error[np.abs(x) <= reach].max()
        print(f"|x| ≤ {reach}: relative error {largest:.1e}, of math.erfc {off_by(x, wanted, reach):.1e}")


def off_by(x: Any, wanted: Any, reach: float) -> float:
    """The same of the function of the standard library."""
    found = np.array([0.5 * math.erfc(v / -math.sqrt(2)) for v in x.tolist()])
    return float(np.abs(found / wanted - 1)[np.abs(x) <= reach].max())


if __name__ == "__main__":
    main()
