"""Which inputs a kernel meets along one axis, and what a border takes: positions there have fewer terms.

Second moments differ from position to position behind zero padding, less at the border, and the next convolution loses
least where there is least. One profile an axis follows this; without it, a 3×3 kernel on a 12×12 map would be thought
to lose 11 % of a signal each time, where a deep net loses 4 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fanin.signals.latent import Array

Profile: TypeAlias = tuple[Array, ...]  # one an axis of positions: E x² there over E x² everywhere
Indices: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Taps:
    """One axis: every meeting of a tap with an output and an input.

    Attributes:
        outputs, inputs, taps: the indices of each meeting.
        size_out, size_in, kernel: how many there are.
    """

    outputs: Indices
    inputs: Indices
    taps: Indices
    size_out: int
    size_in: int
    kernel: int

    def gathered(self, profile: Array) -> Array:
        """Σ over the taps that meet each output."""
        return np.asarray(np.bincount(self.outputs, profile[self.inputs], self.size_out), dtype=np.float64)

    def scattered(self, profile: Array) -> Array:
        """Σ over the taps that meet each input."""
        return np.asarray(np.bincount(self.inputs, profile[self.outputs], self.size_in), dtype=np.float64)

    def flipped(self) -> Taps:
        """Seen from the inputs."""
        return Taps(self.inputs, self.outputs, self.taps, self.size_in, self.size_out, self.kernel)

    def met_by_two(self, profile: Array) -> float:
        """Σ over taps of the square of the share of outputs that it serves: what two positions have in common."""
        root = np.sqrt(profile)
        served = np.bincount(self.taps, root[self.inputs], self.kernel) / self.size_out
        return float((served**2).sum() / root.mean() ** 2)

    def met_by_both(self, of_inputs: Array, of_outputs: Array) -> float:
        """The share of a tap's outputs that meet an input, each by its weight; averaged over taps."""
        weight = of_inputs[self.inputs] * of_outputs[self.outputs]
        return float(weight.sum()) / (self.size_out * self.kernel)


@lru_cache(maxsize=512)
def taps(size_in: int, size_out: int, kernel: int, stride: int, padding: int, dilation: int, transposed: bool) -> Taps:
    """Of a convolution's axis, or of a transposed one's.

    Example:
        >>> taps(4, 4, 3, 1, 1, 1, False).gathered(np.ones(4)).tolist()
        [2.0, 3.0, 3.0, 2.0]
    """
    from_, to = (size_in, size_out) if transposed else (size_out, size_in)
    reached = np.add.outer(np.arange(from_) * stride - padding, np.arange(kernel) * dilation)
    start, tap = np.nonzero((reached >= 0) & (reached < to))
    end = reached[start, tap]
    outputs, inputs = (end, start) if transposed else (start, end)
    return Taps(outputs, inputs, tap, size_out, size_in, kernel)


def flat(sizes: Sequence[int]) -> Profile:
    """All positions alike."""
    return tuple(np.ones(size) for size in sizes)


def fitting(profile: Profile | None, sizes: Sequence[int]) -> Profile:
    """The profile, or a flat one where it is of other axes."""
    if profile is not None and [len(p) for p in profile] == list(sizes):
        return profile
    return flat(sizes)


def blended(profiles: Sequence[Profile | None], weights: Sequence[float]) -> Profile | None:
    """Of a sum of independent terms with these second moments, as far as it is a product of axes."""
    known = [(p, w) for p, w in zip(profiles, weights, strict=True) if p is not None]
    total = float(sum(weights))
    if not known or not total > 0:
        return None
    sizes = [len(axis) for axis in known[0][0]]
    if any([len(axis) for axis in p] != sizes for p, _ in known):
        return None
    rest = 1 - sum(w for _, w in known) / total
    return tuple(np.sum([w / total * p[d] for p, w in known], axis=0) + rest for d in range(len(sizes)))


@dataclass(frozen=True, eq=False)
class Meeting:
    """All axes together: how many taps meet one position on average, and how many two positions have in common.

    Attributes:
        same: of one position.
        two: of two positions, t ≠ t'.
        any_two: of t and t', whatever they are.
        profile: of the results.
    """

    same: float
    two: float
    any_two: float
    profile: Profile

    @classmethod
    def of(cls, axes: Sequence[Taps], profile: Profile) -> Meeting:
        """What outputs gather from inputs of this profile."""
        sums = [t.gathered(p) for t, p in zip(axes, profile, strict=True)]
        n = math.prod(t.size_out for t in axes)
        same = math.prod(float(s.mean()) for s in sums)
        any_two = math.prod(t.met_by_two(p) for t, p in zip(axes, profile, strict=True))
        two = (n * any_two - same) / (n - 1) if n > 1 else same
        return cls(same, two, any_two, tuple(s / s.mean() if s.any() else s for s in sums))
