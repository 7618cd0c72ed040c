"""A function of a signal whose size differs from one draw of the weights to another: its mean over draws.

In deep nets without norms q is nearly log-normal over draws. E φ² is no linear function of q unless φ is one of scale:
its mean over draws is not that at the mean of q, and small differences of it grow with depth. Where draws hardly
differ, its tangent is as good, and means are those of infinite width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from fanin.signals import latent
from fanin.signals.draws import Draws, response, together
from fanin.signals.flow import Flow, Gradient
from fanin.signals.frozen import replace
from fanin.signals.latent import Array
from fanin.signals.state import State

Function = Callable[..., Array]
FAR: Final = 1e-3  # of the largest value: no slope is off by so much
LITTLE: Final = 0.02  # variance of log q: beyond, a function of q is not its tangent


@dataclass(frozen=True, eq=False)
class Response:
    """Of a function of x, by its values where x is as large as in other draws.

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
        with np.errstate(all="ignore"):
            return self.function(self.x.values)

    @cached_property
    def slope(self) -> Array:
        """Its derivative there."""
        with np.errstate(all="ignore"):
            return np.asarray(self.derivative(self.x.values), dtype=np.float64)

    @cached_property
    def of_scale(self) -> bool:
        """Whether f(s x) = s f(x), as of rectifiers: then draws only scale it."""
        with np.errstate(all="ignore"):
            if np.abs(self.x.values * self.slope - self.made).max() > FAR * np.abs(self.made).max():
                return False  # Euler: x f' = f where f is of scale
            once, twice = 2 * self.made, self.function(2 * self.x.values)
            return bool((np.abs(twice - once) <= 1e-8 + 1e-5 * np.abs(once)).all())

    @property
    def matters(self) -> bool:
        """Whether draws differ, and the function with them."""
        return self.x.draws.variance > 0 and not self.of_scale

    def of(self, out: State) -> State:
        """The result with its mean over draws, and how it moves with them."""
        if not self.matters:
            return out
        if self.x.draws.variance < LITTLE:
            return replace(out, draws=self.x.draws.times(self._growth(out)))
        mean, draws = self._over_draws(self.function, np.ones(1), np.exp(self.x.draws.quantiles))
        at_mean = out.average(out.second)
        if not (mean > 0 and at_mean > 0):
            return replace(out, draws=draws)
        return replace(out.scaled(np.sqrt(mean / at_mean)), draws=draws)

    def _growth(self, out: State) -> float:
        """η = d log E φ²/d log q."""
        with np.errstate(all="ignore"):
            slope = latent.expectation(self.x.values * out.values * self.slope)
            return float(np.nan_to_num(out.shares @ (slope / out.second), nan=1.0, posinf=1.0, neginf=1.0))

    def back(self, gradient: Gradient, before: Gradient, slope: Array) -> Gradient:
        """What has come back through the slope, with its mean over draws.

        A gradient that moves with the signal is large where the signal is as it is in those draws.

        Args:
            before: the same in front of the slope.
        """
        if not self.matters:
            return gradient
        return {carrier: self._back(flow, before[carrier], slope) for carrier, flow in gradient.items()}

    def _back(self, flow: Flow, before: Flow, slope: Array) -> Flow:
        squares = before.factor**2
        if self.x.draws.variance < LITTLE:
            bent = self.x.shares @ latent.expectation(slope**2 * (latent.NODES**2 - 1))
            size = self.x.shares @ latent.expectation(slope**2)
            moves = self.x.draws.times(float(bent / (2 * size)) if size else 0.0)
            return replace(flow, swing=together([(1.0, flow.swing), (1.0, moves)]))
        scales = np.exp(self.x.draws.quantiles + before.swing.along(self.x.draws))
        mean, draws = self._over_draws(self.derivative, squares, scales)
        known = float(self.x.shares @ latent.expectation(np.broadcast_to(squares * slope**2, slope.shape)))
        by = np.sqrt(mean / known) if known > 0 and mean > 0 else 1.0
        return replace(flow.times(by), swing=together([(1.0, flow.swing), (1.0, draws)]))

    def _over_draws(self, of: Function, weight: Array, scales: Array) -> tuple[float, Draws]:
        """E w f(√s x)² for each scale s of q: its mean over draws, and how it moves with them."""
        x = self.x
        with np.errstate(all="ignore"):
            squares = np.square(of(np.sqrt(scales)[:, None, None] * x.values))
            values = np.asarray(latent.expectation(weight * squares) @ x.shares)
        if not np.isfinite(values).all():
            return float("nan"), x.draws
        return response(values, x.draws)
