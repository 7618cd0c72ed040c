"""What the engine knows of ∂loss/∂x: independent parts, each a carrier times a function of the latent of x.

A part δ·A(z) is what came back to some weight, δ, times the derivatives A of the pointwise operations since. Parts of one
carrier add up before they are squared, so that x·sigmoid(x), say, has one slope and not two that are independent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count as counter
from typing import TypeAlias

import numpy as np

from fanin.signals import latent
from fanin.signals.latent import Array
from fanin.signals.state import Sizes, State

_carriers = counter()
TINY = 1e-300


@dataclass(frozen=True, eq=False)
class Flow:
    """One part: moments of its carrier by segment, and the factor A at the nodes, or one number a segment.

    Attributes:
        second: E δ².
        across_positions: E δ_t δ_t'.
        across_samples: E δ_s δ_s'.
        factor: A, of shape (segments, nodes) or (segments, 1).
    """

    second: Array
    across_positions: Array
    across_samples: Array
    factor: Array

    def times(self, factor: Array | float) -> Flow:
        """δ·A·B."""
        return replace(self, factor=self.factor * factor)

    def rows(self, chosen: Sizes) -> Flow:
        """These segments."""
        parts = (self.second, self.across_positions, self.across_samples, self.factor)
        return Flow(*(part[chosen] for part in parts))


Gradient: TypeAlias = Mapping[int, Flow]  # by carrier; none: no influence on the loss


@dataclass(frozen=True, eq=False)
class Moments3:
    """E δ², E δ_t δ_t' and E δ_s δ_s' by segment, whatever their parts."""

    second: Array
    across_positions: Array
    across_samples: Array

    def __add__(self, other: Moments3) -> Moments3:
        return Moments3(
            self.second + other.second,
            self.across_positions + other.across_positions,
            self.across_samples + other.across_samples,
        )

    def times(self, by: Array | float) -> Moments3:
        """Each multiplied."""
        return Moments3(self.second * by, self.across_positions * by, self.across_samples * by)

    def summed(self, state: State) -> float:
        """E (Σ δ)² over all samples and positions, averaged over the features of the state."""
        n, p = state.samples * state.positions, state.positions
        total = self.second + (p - 1) * self.across_positions + (n - p) * self.across_samples
        return n * float(state.shares @ total)

    def flow(self) -> Gradient:
        """As a gradient with a carrier of its own."""
        ones = np.ones((len(self.second), 1))
        return {next(_carriers): Flow(self.second, self.across_positions, self.across_samples, ones)}


def total(gradient: Gradient, state: State) -> Moments3:
    """The moments of a gradient at a node with this state."""
    zero = np.zeros(len(state.sizes))
    found = Moments3(zero, zero, zero)
    for flow in gradient.values():
        found += _moments(flow, state)
    return found


def _moments(flow: Flow, state: State) -> Moments3:
    if flow.factor.shape[1] == 1:
        squared = flow.factor[:, 0] ** 2
        return Moments3(flow.second, flow.across_positions, flow.across_samples).times(squared)
    positions, samples = state.correlations
    return Moments3(
        flow.second * latent.expectation(flow.factor**2),
        flow.across_positions * latent.covariance(flow.factor, positions),
        flow.across_samples * latent.covariance(flow.factor, samples),
    )


def merged(gradients: Iterable[Gradient]) -> Gradient:
    """Everything that comes back to one value: parts of one carrier add up."""
    found: dict[int, Flow] = {}
    for gradient in gradients:
        for carrier, flow in gradient.items():
            known = found.get(carrier)
            if known is None:
                found[carrier] = flow
            elif known.factor.shape[0] == flow.factor.shape[0]:
                found[carrier] = replace(known, factor=known.factor + flow.factor)
            else:  # the same, seen through other segments
                found[next(_carriers)] = flow
    return found


def condensed(gradient: Gradient, state: State) -> Gradient:
    """One part with a carrier of its own and the same moments; how δ² depends on the latent stays."""
    if len(gradient) < 2:
        return gradient
    seen = total(gradient, state)
    flows = gradient.values()
    if all(flow.factor.shape[1] == 1 for flow in flows):
        return seen.flow()
    squared = sum(flow.second[:, None] * flow.factor**2 for flow in flows)
    factor = np.sqrt(squared / np.maximum(latent.expectation(squared), TINY)[:, None])
    positions, samples = (np.maximum(latent.covariance(factor, rho), TINY) for rho in state.correlations)
    return {next(_carriers): Flow(seen.second, seen.across_positions / positions, seen.across_samples / samples, factor)}


def scaled(gradient: Gradient, factor: Array | float) -> Gradient:
    """Every part times a factor: a number, one a segment (segments, 1), or one a node."""
    return {carrier: flow.times(factor) for carrier, flow in gradient.items()}


def chosen(gradient: Gradient, rows: Sizes) -> Gradient:
    """Every part at these segments."""
    return {carrier: flow.rows(rows) for carrier, flow in gradient.items()}
