"""y = (W₁ ⊗ W₂ ⊗ …) x along axes, W known: averages, interpolation, padding, rolls. Backward is the transpose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fanin.signals.axes import Axes, Axis, Kind, axis, count, kinds_of, size_of
from fanin.signals.distribution import Root
from fanin.signals.flow import Gradient
from fanin.signals.gradient import total
from fanin.signals.latent import Array
from fanin.signals.rules.population import shape_of_mean
from fanin.signals.state import State, gaussian
from fanin.signals.values import NoRule


class Map:
    """A linear map along some axes of a state, one matrix (out, in) an axis; all of them count the same.

    Args:
        x: the state.
        matrices: by axis.

    Raises:
        NoRule: the axes count different things.
    """

    def __init__(self, x: State, matrices: dict[int, Array]) -> None:
        self.x = x
        kinds = {kind for at in matrices for kind in kinds_of(x.axes[at])} or {Kind.POSITION}
        if len(kinds) > 1:
            raise NoRule("it runs over axes that count different things")
        (self.kind,) = kinds
        self.size_in = count([x.axes[at] for at in matrices], self.kind)
        self.sums = _Sums(list(matrices.values()))
        self.back_sums = _Sums([w.T for w in matrices.values()])
        self.axes: Axes = tuple(self._axis(a, matrices.get(at)) for at, a in enumerate(x.axes))
        self.state = self._forward()

    def _axis(self, own: Axis, matrix: Array | None) -> Axis:
        if matrix is None or size_of(own) == len(matrix):
            return own
        return axis(self.kind, len(matrix))

    def _forward(self) -> State:
        x = self.x.pooled() if self.kind is Kind.FEATURE else self.x
        parts = (x.second, x.across_positions, x.across_samples)
        q, k, s = self._moments(self.sums, x, parts, x.mean**2)
        sizes = [count(self.axes, Kind.FEATURE)] if self.kind is Kind.FEATURE else x.sizes
        out = gaussian(self.axes, sizes, x.mean * self.sums.line, q, k, s, draws=x.draws, marks=x.marks)
        shape = shape_of_mean(x, out)
        return replace(out, marginal=shape, root=Root())

    def _moments(
        self, sums: _Sums, at: State, parts: tuple[Array, Array, Array], base: Array | float
    ) -> tuple[Array, Array, Array]:
        """Moments of Σ w x; `base` is what two features have in common."""
        q, k, s = parts
        if self.kind is Kind.FEATURE:
            return tuple(sums.square * (m - base) + sums.line_square * base for m in parts)  # type: ignore[return-value]
        if self.kind is Kind.SAMPLE:
            pairs = sums.apart * (q - s) + sums.both * s  # at one position; other positions are taken to be as alike
            apart_p = sums.square * (k - s) + sums.line_square * s
            return sums.square * (q - s) + sums.line_square * s, apart_p, pairs if sums.apart else sums.both * s
        n, n_in = sums.size, sums.size_in
        rest_in = max(at.positions // n_in, 1)  # positions along other axes
        rest = max(rest_in * n - 1, 1)
        inside = (n - 1) / rest  # of the pairs of results, those along the axes of the map
        other = sums.line**2 * k
        along = sums.apart * (q - k) + sums.both * k
        return sums.square * (q - k) + sums.line_square * k, inside * along + (1 - inside) * other, sums.line**2 * s

    def back(self, gradient: Gradient) -> Gradient:
        """Wᵀ δ."""
        seen = total(gradient, self.state)
        parts = (seen.second, seen.across_positions, seen.across_samples)
        moments = self._moments(self.back_sums, self.state, parts, 0.0)
        rows = len(self.x.sizes)
        return seen.become(*(m if len(m) == rows else np.full(rows, self.state.average(m)) for m in moments)).flow()


class _Sums:
    """What a tensor product of matrices does to moments: all sums factorise over the axes."""

    def __init__(self, matrices: Sequence[Array]) -> None:
        def product(of: Sequence[float]) -> float:
            return math.prod(float(x) for x in of)

        self.size = math.prod(len(w) for w in matrices)
        self.size_in = math.prod(w.shape[1] for w in matrices)
        squares = product([(w**2).sum() for w in matrices])
        lines = product([(w.sum(1) ** 2).sum() for w in matrices])
        columns = product([(w.sum(0) ** 2).sum() for w in matrices])
        whole = product([w.sum() for w in matrices])
        pairs = max(self.size * (self.size - 1), 1)
        self.line = whole / self.size  # mean over results of Σ w
        self.square = squares / self.size  # of Σ w²
        self.line_square = lines / self.size  # of (Σ w)²
        self.apart = (columns - squares) / pairs  # mean over pairs of results of Σ w w'
        self.both = (whole**2 - lines) / pairs  # of (Σ w)(Σ w')
