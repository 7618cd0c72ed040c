"""A function of a signal whose size differs from one draw of the weights to another: its mean over draws.

In deep nets without norms q is nearly log-normal over draws. E φ² is no linear function of q unless φ is one of scale:
its mean over draws is not that at the mean of q, and small differences of it grow with depth. Where draws hardly
differ, its tangent is as good, and means are those of infinite width.

A net whose output goes with a high power of x, as that of many layers that bend, has gradients that point along the
signal: by Euler's theorem x · δ is as large as the power, and not as chance would have it. Weights hand that part on
whole, while each of n directions across it gets its share. How large it is goes with a gradient along each path.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from fanin.signals import latent
from fanin.signals.draws import NOTHING, Draws, Radial, multiplied, together
from fanin.signals.flow import Flow, Gradient
from fanin.signals.frozen import replace
from fanin.signals.gradient import GradientMoments
from fanin.signals.latent import Array
from fanin.signals.paths import Grid, Paths, Singles
from fanin.signals.state import State

Function = Callable[..., Array]
FAR: Final = 1e-3  # of the largest value: no slope is off by so much
LITTLE: Final = 0.02  # variance of log q: beyond, a function of q is not its tangent
FEW: Final = slice(2, None, 5)  # nodes of the latent that are enough at many sizes: the midpoints of five
FEW_WEIGHTS: Final[Array] = latent.WEIGHTS[FEW] / latent.WEIGHTS[FEW].sum()
TINY: Final = 1e-300
BY_CHANCE: Final[Singles] = np.ones(1, np.float32)  # as far as δ points along x where it knows nothing of x


@dataclass(frozen=True, eq=False)
class Response:
    """Of a function of x, by its values where x is as large as in other draws. It may leave its domain: no warnings.

    Attributes:
        x: the signal.
        function, derivative: of arrays.
    """

    x: State
    function: Function
    derivative: Function

    @cached_property
    def made(self) -> Array:
        """The function of the signal's values."""
        return self.function(self.x.values)

    @cached_property
    def slope(self) -> Array:
        """Its derivative there."""
        return np.asarray(self.derivative(self.x.values), dtype=np.float64)

    @cached_property
    def of_scale(self) -> bool:
        """Whether f(s x) = s f(x), as of rectifiers: then draws only scale it."""
        if np.abs(self.x.values * self.slope - self.made).max() > FAR * np.abs(self.made).max():
            return False  # Euler: x f' = f where f is of scale
        once, twice = 2 * self.made, self.function(2 * self.x.values)
        return bool((np.abs(twice - once) <= 1e-8 + 1e-5 * np.abs(once)).all())

    @property
    def matters(self) -> bool:
        """Whether draws differ, and the function with them."""
        return self.x.draws.variance > 0 and not self.of_scale

    @property
    def much(self) -> bool:
        """Whether the function is bent over as much as draws and their samples differ."""
        return self.x.draws.paths is not None or self.x.draws.variance + self.x.draws.apart >= LITTLE

    def of(self, out: State) -> State:
        """The result with its mean over draws, and how it moves with them."""
        if not self.matters:
            return out
        if not self.much:
            return replace(out, draws=self.x.draws.times(self._growth(out)))
        values = self._mean(self._values**2)
        if not (np.isfinite(values).all() and (values > 0).all()):
            return replace(out, draws=NOTHING)
        mean, paths = Paths.of(self._grid.along(values))
        by = math.exp(mean) / out.average(out.second)
        return replace(out.scaled(np.sqrt(by)), draws=self._draws.moved(paths))

    @cached_property
    def _draws(self) -> Draws:
        return self.x.draws.followed(self.x.samples)

    @cached_property
    def _grid(self) -> Grid:
        assert self._draws.paths is not None
        return Grid(self._draws.paths.logs)

    @cached_property
    def _x(self) -> Array:
        """Where q is as large as on the grid: (sizes, segments, nodes)."""
        return np.asarray(np.sqrt(self._grid.sizes)[:, None, None] * self.x.values[:, FEW])

    @cached_property
    def _values(self) -> Array:
        return np.asarray(self.function(self._x))

    @cached_property
    def _slopes(self) -> Array:
        return np.asarray(self.derivative(self._x), dtype=np.float64)

    def _mean(self, values: Array) -> Array:
        """Over the latent and the features, for each size of the grid."""
        by_segment = values @ FEW_WEIGHTS
        return np.asarray(by_segment[:, 0] if by_segment.shape[1] == 1 else by_segment @ self.x.shares)

    def _growth(self, out: State) -> float:
        """η = d log E φ²/d log q."""
        slope = latent.expectation(self.x.values * out.values * self.slope)
        return float(np.nan_to_num(out.shares @ (slope / out.second), nan=1.0, posinf=1.0, neginf=1.0))

    def back(self, gradient: Gradient, before: Gradient, slope: Array, out: State) -> Gradient:
        """What has come back through the slope, with its mean over draws.

        A gradient that moves with the signal is large where the signal is as it is in those draws.

        Args:
            before: the same in front of the slope.
            out: the result, which those who made something of it have seen.
        """
        if not self.matters:
            return gradient
        return {carrier: self._back(flow, before[carrier], slope, out) for carrier, flow in gradient.items()}

    def _back(self, flow: Flow, before: Flow, slope: Array, out: State) -> Flow:
        squares = before.factor**2
        if not (self.much or flow.swing.paths is not None):
            bent = self.x.shares @ latent.expectation(slope**2 * (latent.NODES**2 - 1))
            size = self.x.shares @ latent.expectation(slope**2)
            moves = self.x.draws.times(float(bent / (2 * size)) if size else 0.0)
            return replace(flow, swing=together([(1.0, flow.swing), (1.0, moves)]))
        known = float(self.x.shares @ latent.expectation(squares * slope**2))
        values = self._mean((squares if squares.shape[1] == 1 else squares[:, FEW]) * self._slopes**2)
        if not (known > 0 and np.isfinite(values).all() and (values > 0).all()):
            return flow
        mean, paths = Paths.of(self._grid.along(values) + self._by_chance(out))
        radial, as_radial = None, 0.0
        if squares.shape[1] == 1 and self.x.positions == 1:
            more, radial = self._radial(flow.swing)
            as_radial, paths = paths.times(more)
        along, swing = multiplied(flow.swing, self._draws.moved(paths))
        by = math.sqrt(math.exp(mean + as_radial + along) / known)
        return replace(flow.times(by), swing=replace(swing, radial=radial))

    def _by_chance(self, out: State) -> Singles | float:
        """What E δ² has of the chance that the next layer's q has: both are means over the same units."""
        after, before = out.__dict__.get("drawn", NOTHING).paths, out.draws.paths
        if after is None or before is None or after.sizes.shape != before.sizes.shape:
            return 0.0
        chance: Singles = after.logs - before.logs
        variance = float(np.vdot(chance, chance)) / chance.size - (float(chance.sum()) / chance.size) ** 2
        of_value, of_slope = self.made**2, self.slope**2
        alone = latent.expectation(of_value) * latent.expectation(of_slope)
        both = float(self.x.shares @ (latent.expectation(of_value * of_slope) / np.maximum(alone, TINY) - 1))
        share = both / self.x.features / variance if variance > 0 else 0.0
        chance *= share
        chance -= share**2 * variance / 2
        return chance

    def _radial(self, swing: Draws) -> tuple[Singles, Radial]:
        """How much more comes back as δ points along φ(x), along the paths, and how far it then points along x.

        Of E (φ · δ)² = X n E φ² E δ²: with a = X/n of it along φ, φ'δ has (1 − a) E φ'² + a E (φ φ')²/E φ².
        """
        f, d, x = self._values, self._slopes, self._x
        f2, d2, q = self._mean(f * f), self._mean(d * d), self._mean(x * x)
        along = self._mean(x * f * d) ** 2 / f2
        across = np.maximum(self._mean((x * d) ** 2) - along, 0.0)
        relative = self._mean((f * d) ** 2) / (f2 * d2), along / (d2 * q), across / (d2 * q)
        of_both, of_along, of_across = (self._grid.between(r) for r in relative)
        n = self.x.features
        known = swing.radial.times if swing.radial is not None and swing.radial.root is self.x.root else BY_CHANCE
        part = np.minimum(known / n, 1.0)
        more = 1 + part * (of_both - 1)
        return more, Radial(self.x.root, (n * part * of_along + (1 - part) * of_across) / more)


def through_weights(seen: GradientMoments, out: State, x: State, moved: float) -> GradientMoments:
    """What independent weights add to E δ² of one that points along the signal: they hand that part on whole.

    Args:
        out, x: the signal behind and in front of the weights.
        moved: share of E out² that comes from x, and not from a bias.
    """
    swing = seen.swing
    if swing.radial is None or swing.radial.root is not out.root or swing.paths is None:
        return seen
    known = moved * swing.radial.times
    more = np.maximum(1 + (known - 1) / x.features, 1e-9)
    mean, paths = swing.paths.times(more)
    new = replace(swing, paths=paths, radial=Radial(x.root, known / more))
    return replace(seen.times(math.exp(mean)), swing=new)
