"""Where a function of one variable crosses 0: between which points of a grid, and where between them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from fanin.activations.quadrature import Array

STEPS = 100


def sign_changes(values: Array) -> list[tuple[int, int]]:
    """Pairs of places between which values on a grid change their sign: neighbours, or those on both sides of one 0.

    Where more values in a row are 0, they cross 0 at no one point, and are left out. So is nan.

    Example:
        >>> sign_changes(np.array([-2.0, -1.0, 3.0, 0.0, -1.0, 0.0, 0.0, 5.0]))
        [(1, 2), (2, 4)]
    """
    known = np.flatnonzero(values)
    pairs = [(int(low), int(high)) for low, high in pairwise(known) if high - low <= 2]
    return [(low, high) for low, high in pairs if values[low] * values[high] < 0]


def root(f: Callable[[float], float], low: float, high: float, tolerance: float = 1e-13) -> float:
    """An x between low and high with f(x) = 0, where f has different signs at the ends, or is 0 at one of them.

    Found when |f(x)| or the interval is smaller than `tolerance`.

    False position that halves the weight of an end which stays (Illinois), so that both ends close in.

    Example:
        >>> round(root(lambda x: x * x - 2, 0.0, 2.0), 12)
        1.414213562373

    Reference: Dowell & Jarratt 1971.
    """
    at_low, at_high = f(low), f(high)
    for _ in range(STEPS):
        if at_low == 0 or abs(high - low) <= tolerance * max(1.0, abs(low)):
            return low
        if at_high == 0:
            return high
        middle = (low * at_high - high * at_low) / (at_high - at_low)
        value = f(middle)
        if abs(value) < tolerance:
            return middle
        if (value > 0) == (at_high > 0):
            high, at_high, at_low = middle, value, at_low / 2
        else:
            low, at_low, at_high = middle, value, at_high / 2
    return middle
