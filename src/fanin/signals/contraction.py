"""Sums of products of two tensors over shared axes: the moments of Σ_c x_c y_c for independent x and y.

A pair of results is a sum over pairs of products, and each moment of it a sum over what the pairs have in common: the
same feature or another, the same position or another, the same sample or another.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from fanin.signals.axes import Axes, Axis, Kind, count
from fanin.signals.flow import Gradient
from fanin.signals.gradient import GradientMoments
from fanin.signals.state import State

Labels: TypeAlias = str  # one letter an axis
Same: TypeAlias = tuple[bool, bool, bool]  # feature, position, sample
_KINDS = (Kind.FEATURE, Kind.POSITION, Kind.SAMPLE)
_SAME: Same = (True, True, True)


class Pairs(NamedTuple):
    """E x x' for two entries of a tensor, averaged over its features.

    Attributes:
        mean: E x, whose square is that of two features.
        second: of one entry with itself.
        positions: of one feature and sample, at two positions.
        samples: of one feature of two samples.
    """

    mean: float
    second: float
    positions: float
    samples: float

    @classmethod
    def of(cls, x: State) -> Pairs:
        """Of a signal."""
        return cls(*(x.average(m) for m in (x.mean, x.second, x.across_positions, x.across_samples)))

    @classmethod
    def of_gradient(cls, seen: GradientMoments, x: State) -> Pairs:
        """Of the gradient of a signal."""
        return cls(0.0, *(x.average(m) for m in (seen.second, seen.across_positions, seen.across_samples)))

    def __call__(self, same: Same) -> float:
        """E x x' for two entries that have this in common."""
        feature, position, sample = same
        if not feature:
            return self.mean**2
        if not sample:
            return self.samples
        return self.second if position else self.positions

    def flow(self, rows: int) -> Gradient:
        """As a gradient of a state with so many segments."""
        g, h, s = (np.full(rows, m) for m in self[1:])
        return GradientMoments(g, h, s).flow()


@dataclass(frozen=True)
class Contraction:
    """`out = Σ left · right`, as in einsum.

    Attributes:
        left, right, out: the letters of their axes.
        axes: what each letter counts.
    """

    left: Labels
    right: Labels
    out: Labels
    axes: Mapping[str, Axis]

    @property
    def summed(self) -> str:
        """Letters that both have and the result has not."""
        return "".join(letter for letter in self.left if letter in self.right and letter not in self.out)

    @property
    def outer_left(self) -> str:
        """Letters that only the left operand gives."""
        return "".join(letter for letter in self.left if letter in self.out and letter not in self.right)

    @property
    def outer_right(self) -> str:
        """Letters that only the right operand gives."""
        return "".join(letter for letter in self.right if letter in self.out and letter not in self.left)

    @property
    def out_axes(self) -> Axes:
        """Of the result."""
        return tuple(self.axes[letter] for letter in self.out)

    def size(self, letters: str, *kinds: Kind) -> int:
        """How many there are along these axes: of all kinds, or of some."""
        return int(np.prod([self._count(letters, kind) for kind in kinds or _KINDS]))

    def _count(self, letters: str, kind: Kind) -> int:
        return count((self.axes[letter] for letter in letters), kind)

    def moments(self, x: Pairs, y: Pairs) -> Pairs:
        """Of the result: E o o' = n Σ_c E x_c₀ x'_c E y_c₀ y'_c, averaged over pairs o, o' of each kind."""
        groups = [
            "".join(letter for letter in self.out if letter in self.left and letter in self.right),
            self.outer_left,
            self.outer_right,
        ]

        def pair(relations: Sequence[Same]) -> float:
            """Relations between two results, along the shared and the outer axes."""
            shared, left, right = relations
            own_x, own_y = _both(shared, left), _both(shared, right)
            return self.size(self.summed) * sum(
                many * x(_both(own_x, same)) * y(_both(own_y, same)) for same, many in self._relations(self.summed)
            )

        def average(kind: Kind) -> float:
            """Over pairs that differ in this kind; those of two samples have any positions."""
            free = (Kind.POSITION, Kind.SAMPLE) if kind is Kind.SAMPLE else (kind,)
            total = weight = 0.0
            for relations in itertools.product(*(self._relations(group, free) for group in groups)):
                at = _KINDS.index(kind)
                if all(same[at] for same, _ in relations):
                    continue
                many = float(np.prod([n for _, n in relations]))
                total += many * pair([same for same, _ in relations])
                weight += many
            return total / weight if weight else 0.0

        second = pair([_SAME] * 3)
        positions = average(Kind.POSITION) if self._count(self.out, Kind.POSITION) > 1 else second
        samples = average(Kind.SAMPLE) if self._count(self.out, Kind.SAMPLE) > 1 else 0.0
        return Pairs(self.size(self.summed) * x.mean * y.mean, second, positions, samples)

    def _relations(self, letters: str, kinds: Sequence[Kind] = _KINDS) -> list[tuple[Same, int]]:
        """What two indices along these axes may have in common, and in how many ways."""
        found: list[tuple[Same, int]] = []
        for feature, position, sample in itertools.product((True, False), repeat=3):
            same, many = (feature, position, sample), 1
            for one, kind in zip(same, _KINDS, strict=True):
                many *= 1 if one else (self._count(letters, kind) - 1 if kind in kinds else 0)
            if many:
                found.append((same, many))
        return found

    def back_to(self, which: str) -> Contraction:
        """The contraction of ∂loss/∂out with the other operand that is ∂loss/∂ this one."""
        own, other = (self.left, self.right) if which == "left" else (self.right, self.left)
        return Contraction(self.out, other, own, self.axes)


def _both(a: Same, b: Same) -> Same:
    return (a[0] and b[0], a[1] and b[1], a[2] and b[2])
