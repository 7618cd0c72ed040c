"""Gradients as independent parts, each a carrier times a function of the latent of x.

A part δ·A(z) is what came back to some weight, δ, times the derivatives A of the pointwise operations since. Parts of
one carrier add up before they are squared, so that x·sigmoid(x), say, has one slope and not two that are independent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count as counter
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from fanin.signals import latent
from fanin.signals.bins_back import Spread
from fanin.signals.distribution import Sizes
from fanin.signals.draws import NOTHING, Draws
from fanin.signals.frozen import replace
from fanin.signals.latent import Array
from fanin.signals.orthogonal import Blind, Normed
from fanin.signals.taps import Profile

if TYPE_CHECKING:
    from fanin.signals.gradient import GradientMoments
    from fanin.signals.state import State

CARRIERS = counter()


@dataclass(frozen=True, eq=False)
class Flow:
    """One part: moments of its carrier by segment, and the factor A at the nodes, or one number a segment.

    Attributes:
        second: E δ².
        across_positions: E δ_t δ_t'.
        across_samples: E δ_s δ_s'.
        factor: A, of shape (segments, nodes) or (segments, 1).
        spread: Var log E δ² over draws of the weights that δ came through.
        swing: how log E δ² moves with the draws of the signals on the way.
        profile: how E δ² is spread along each axis of positions; None where all are alike.
        bins: how it is spread over bins of positions, where the value is in bins.
        normed: what a norm has done to the part as it is; None where another operation has changed it since.
        blind: to which functions of the latent the carrier is orthogonal.
        owed: how much larger E δ² is than what will come back through the weights in front, as norms behind divide by
            what those make large.
    """

    second: Array
    across_positions: Array
    across_samples: Array
    factor: Array
    spread: float = 0.0
    swing: Draws = NOTHING
    profile: Profile | None = None
    bins: Spread | None = None
    normed: Normed | None = None
    blind: Blind | None = None
    owed: float = 1.0
    _seen: tuple[State, GradientMoments] | None = field(default=None, init=False, repr=False)

    def times(self, factor: Array | float, by_bin: Array | None = None) -> Flow:
        """δ·A·B; `by_bin` is B in each bin, without which it is as large in all."""
        bins = self.bins
        if bins is not None:
            bins = bins.times(_size(factor) if by_bin is None else by_bin)
        return replace(self, factor=self.factor * factor, bins=bins, normed=None)

    def squares(self, shape: tuple[int, ...]) -> Array:
        """E[(δA)² | z] at the nodes."""
        return self.second[:, None] * np.broadcast_to(self.factor**2, shape)

    def rows(self, chosen: Sizes) -> Flow:
        """These segments."""
        return replace(
            self,
            second=self.second[chosen],
            across_positions=self.across_positions[chosen],
            across_samples=self.across_samples[chosen],
            factor=self.factor[chosen],
            normed=None,
            blind=None,
        )


Gradient: TypeAlias = Mapping[int, Flow]  # by carrier; none: no influence on the loss


def merged(gradients: Iterable[Gradient]) -> Gradient:
    """Everything that comes back to one value: parts of one carrier add up."""
    found: dict[int, Flow] = {}
    for gradient in gradients:
        for carrier, flow in gradient.items():
            known = found.get(carrier)
            if known is None:
                found[carrier] = flow
            elif known.factor.shape[0] == flow.factor.shape[0]:
                both = known.blind if known.blind is flow.blind else None
                found[carrier] = replace(
                    known, factor=known.factor + flow.factor, bins=_added(known, flow), normed=None, blind=both
                )
            else:  # the same, seen through other segments
                found[next(CARRIERS)] = flow
    return found


def _added(a: Flow, b: Flow) -> Spread | None:
    """Of two parts of one carrier: one that has no bins has the factor of all positions in each."""
    known = a.bins or b.bins
    if known is None:
        return None
    factors = [f.bins.factor if f.bins is not None else f.factor.mean(0, keepdims=True) for f in (a, b)]
    return replace(known, factor=factors[0] + factors[1])


def scaled(gradient: Gradient, factor: Array | float, by_bin: Array | None = None) -> Gradient:
    """Every part times a factor: a number, one a segment (segments, 1), or one a node; and what it is in each bin."""
    return {carrier: flow.times(factor, by_bin) for carrier, flow in gradient.items()}


def _size(factor: Array | float) -> float:
    """√E A² over all segments alike, with the sign of a number."""
    a = np.asarray(factor, dtype=np.float64)
    if a.ndim == 2 and a.shape[1] > 1:
        return float(np.sqrt(latent.expectation(a * a).mean()))
    return float(a.flat[0]) if a.size == 1 else float(np.sqrt((a * a).mean()))


def chosen(gradient: Gradient, rows: Sizes) -> Gradient:
    """Every part at these segments."""
    return {carrier: flow.rows(rows) for carrier, flow in gradient.items()}
