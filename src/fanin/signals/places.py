"""What all samples have in common at one position, which zero padding makes differ from that at another.

A kernel at a corner has four of its nine taps inside, and other ones than at the next corner. If what it reads has a
mean, each feature has a map that is the same for all samples. A batch norm divides by the variance of that as well. It
has few degrees of freedom, as many as the map has modes, however many samples there are: on maps of 2 × 2 a third of
all variance has three.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fanin.signals.latent import Array
from fanin.signals.taps import Profile, Taps


class Places(NamedTuple):
    """Of one tensor.

    Attributes:
        second: E x_s,t x_s',t of two samples at one position, by segment; at any two it is less.
        modes: (Σ μ)²/Σ μ² of the eigenvalues μ of the common map's covariance over positions.
    """

    second: Array
    modes: float

    def changed(self, to: Array) -> Places:
        """Another second moment, and the same map."""
        return Places(to, self.modes)

    def beside(self, other: Places, shares: Sequence[float]) -> float:
        """Modes of a sum of two maps with these parts of its variance."""
        squares = sum(s**2 / max(p.modes, 1.0) for s, p in zip(shares, (self, other), strict=True))
        return sum(shares) ** 2 / squares if squares > 0 else self.modes


def modes_behind(met: Sequence[Taps], profile: Profile, apart: float) -> float:
    """Of the map that a kernel makes of inputs with a mean.

    Outputs t and t' have as many products in common as taps are inside for both, n_tt'; and each by itself n_tt of what
    its inputs have of their own.

    Args:
        profile: of the inputs.
        apart: what inputs have in common with other samples at their own position beside what they have at any.
    """
    found = [_common(t, np.sqrt(p)) for t, p in zip(met, profile, strict=True)]
    own = [np.diag(m) for m in found]
    p = math.prod(len(n) for n in own)
    lines = [m.sum(1) for m in found]

    def over(each: Sequence[Array]) -> float:
        return math.prod(float(x.sum()) for x in each)

    trace = over(own) - over(lines) / p
    square = over([m**2 for m in found]) - 2 * over([x**2 for x in lines]) / p + over(lines) ** 2 / p**2
    of_own = over([n**2 for n in own])
    trace_own = over(own) * (1 - 1 / p)
    square_own = of_own * (1 - 2 / p) + over(own) ** 2 / p**2
    both = of_own - 2 * over([x * n for x, n in zip(lines, own, strict=True)]) / p + over(lines) * over(own) / p**2
    whole = square + 2 * apart * both + apart**2 * square_own
    return max((trace + apart * trace_own) ** 2 / whole, 1.0) if whole > 1e-12 * max(of_own, 1e-300) else float(p - 1)


def _common(t: Taps, root: Array) -> Array:
    """Σ over taps that are inside for both, for each two outputs along one axis."""
    reads = np.zeros((t.size_out, t.kernel))
    reads[t.outputs, t.taps] = root[t.inputs]
    return np.asarray(reads @ reads.T)
