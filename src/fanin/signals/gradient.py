"""What the engine knows of ∂loss/∂x as a whole: its moments, whatever parts it has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fanin.signals import latent
from fanin.signals.bins_back import Spread
from fanin.signals.distribution import Sizes
from fanin.signals.draws import NOTHING, Draws, together
from fanin.signals.flow import CARRIERS, Flow, Gradient
from fanin.signals.frozen import replace
from fanin.signals.latent import Array
from fanin.signals.orthogonal import Normed
from fanin.signals.state import State
from fanin.signals.taps import Profile, blended

TINY = 1e-300


@dataclass(frozen=True, eq=False)
class GradientMoments:
    """E δ², E δ_t δ_t' and E δ_s δ_s' by segment, whatever their parts.

    Attributes:
        squares: E δ² δ'², averaged over all pairs of samples and positions; None where δ is Gaussian.
        spread, swing, profile, bins, normed, owed: as of a `Flow`.
    """

    second: Array
    across_positions: Array
    across_samples: Array
    squares: Array | None = None
    spread: float = 0.0
    swing: Draws = NOTHING
    profile: Profile | None = None
    bins: Spread | None = None
    normed: Normed | None = None
    owed: float = 1.0

    @property
    def moments(self) -> tuple[Array, Array, Array]:
        """The three."""
        return self.second, self.across_positions, self.across_samples

    def __add__(self, other: GradientMoments) -> GradientMoments:
        """Of a sum of two that are independent."""
        return replace(
            self,
            second=self.second + other.second,
            across_positions=self.across_positions + other.across_positions,
            across_samples=self.across_samples + other.across_samples,
            squares=None,
            bins=None,
            normed=None,
        )

    def each(self, change: Callable[[Array], Array]) -> GradientMoments:
        """Each of the three, changed alike."""
        return replace(
            self,
            second=change(self.second),
            across_positions=change(self.across_positions),
            across_samples=change(self.across_samples),
            squares=None,
            normed=None,
        )

    def times(self, by: Array | float) -> GradientMoments:
        """Each multiplied."""
        return replace(self.each(lambda m: m * by), squares=None if self.squares is None else self.squares * by**2)

    def scaled(self, same: Array | float, positions: Array | float, samples: Array | float) -> GradientMoments:
        """Each multiplied by its own."""
        return replace(
            self,
            second=self.second * same,
            across_positions=self.across_positions * positions,
            across_samples=self.across_samples * samples,
            squares=None,
            normed=None,
            bins=None if self.bins is None else self.bins.scaled(1.0, _relative(same, positions, samples)),
        )

    def become(self, second: Array, across_positions: Array, across_samples: Array) -> GradientMoments:
        """Others in their place, at other positions: only what is known of the spread stays."""
        return GradientMoments(second, across_positions, across_samples, spread=self.spread, swing=self.swing)

    def in_bins(self, state: State, counts: Sizes) -> tuple[Array, Array]:
        """E δ² and the covariances by bin, averaged over features; what has no bins of its own is alike in all."""
        size = state.average(self.second)
        if self.bins is not None and np.array_equal(self.bins.counts, counts):
            return size * self.bins.second, size * self.bins.across
        across = np.reshape([state.average(k) for k in (self.across_positions, self.across_samples)], (2, 1, 1))
        return np.full(len(counts), size), np.broadcast_to(across, (2, len(counts), len(counts)))

    def spread_over(self, state: State, counts: Sizes, second: Array, across: Array) -> GradientMoments:
        """With these moments by bin, whose averages replace those over all positions."""
        bins, size = Spread.of(counts, second, across)
        own = state.average(self.second)
        of_all = self.second * (size / own) if own > 0 else np.full(len(state.sizes), size)
        positions, samples = bins.averages()
        return replace(
            self,
            second=of_all,
            across_positions=of_all * positions,
            across_samples=of_all * samples,
            squares=self.squares * (size / own) ** 2 if self.squares is not None and own > 0 else None,
            bins=bins,
        )

    def summed(self, state: State) -> float:
        """E (Σ δ)² over all samples and positions, averaged over the features of the state."""
        n, p = state.samples * state.positions, state.positions
        total = self.second + (p - 1) * self.across_positions + (n - p) * self.swing.pairs * self.across_samples
        return n * float(state.shares @ total)

    def band_variance(self, state: State) -> float:
        """Var log of E δ² at this node over draws of the weights: what came with δ, and of C features' own average."""
        g = state.average(self.second)
        if g == 0:
            return 0.0
        if g * g == 0:  # below 1e-162 no square is left, and only what came with δ is known
            return self.spread + self.swing.variance
        squares = _gaussian_squares(self, state) if self.squares is None else self.squares
        own = state.average(squares - self.second**2) / (g * g * state.features)
        return self.spread + self.swing.variance + max(own, 0.0)

    def behind_weights(self, state: State) -> GradientMoments:
        """The same, where it has come back to weights at a node with this state: its own spread is now on the way."""
        return replace(self, squares=None, spread=self.band_variance(state) - self.swing.variance)

    def flow(self) -> Gradient:
        """As a gradient with a carrier of its own."""
        ones = np.ones((len(self.second), 1))
        return {next(CARRIERS): self.carrying(ones, self.across_positions, self.across_samples)}

    def carrying(self, factor: Array, positions: Array, samples: Array) -> Flow:
        """A part of these moments with a factor; covariances are those of its carrier."""
        return Flow(
            self.second,
            positions,
            samples,
            factor,
            self.spread,
            self.swing,
            self.profile,
            self.bins,
            self.normed,
            owed=self.owed,
        )


def total(gradient: Gradient, state: State) -> GradientMoments:
    """The moments of a gradient at a node with this state."""
    found = [_moments(flow, state) for flow in gradient.values()]
    if len(found) == 1:
        return found[0]
    zero = np.zeros(len(state.sizes))
    if not found:
        return GradientMoments(zero, zero, zero)
    whole = GradientMoments(
        sum((m.second for m in found), zero),
        sum((m.across_positions for m in found), zero),
        sum((m.across_samples for m in found), zero),
    )
    beyond = sum((m.squares - _gaussian_squares(m, state) for m in found if m.squares is not None), zero)
    weights = np.array([state.average(m.second) for m in found])
    weights /= weights.sum() or 1.0
    return replace(
        whole,
        squares=_gaussian_squares(whole, state) + beyond,
        spread=float(weights**2 @ [m.spread for m in found]),
        swing=together([(float(w), m.swing) for w, m in zip(weights, found, strict=True)]),
        profile=blended([m.profile for m in found], weights.tolist()),
        bins=_together(found, state),
        owed=float(weights @ [m.owed for m in found]) if weights.any() else 1.0,
    )


def _together(found: Sequence[GradientMoments], state: State) -> Spread | None:
    """Of independent parts, some of which are alike in all bins."""
    known = next((m.bins for m in found if m.bins is not None), None)
    if known is None:
        return None
    parts = [m.in_bins(state, known.counts) for m in found]
    second, across = (np.sum(of, axis=0) for of in zip(*parts, strict=True))
    return Spread.of(known.counts, second, across)[0]


def _over_pairs(state: State, same: Array, positions: Array, samples: Array) -> Array:
    """The average over all pairs of a sample's position with any other, itself included."""
    n, p = state.samples * state.positions, state.positions
    return (same + (p - 1) * positions + (n - p) * samples) / n


def _gaussian_squares(of: GradientMoments | Flow, state: State) -> Array:
    """E δ² δ'² = g² + 2h² of Gaussian δ, averaged over all pairs."""
    parts = (of.second, of.across_positions, of.across_samples)
    return of.second**2 + 2 * _over_pairs(state, *(part**2 for part in parts))


def _moments(flow: Flow, state: State) -> GradientMoments:
    """As they were found, where they were asked for before: by the rule, and then for what is said of the node."""
    if flow._seen is not None and flow._seen[0] is state:
        return flow._seen[1]
    found = _of_all(flow, state)
    if flow.bins is not None:
        alike = state.average(flow.second)
        second, across = flow.bins.at(state.bins)
        found = found.spread_over(state, flow.bins.counts, alike * second, alike * across)
        found = found if state.bins is not None else replace(found, bins=None)
    object.__setattr__(flow, "_seen", (state, found))
    return found


def _of_all(flow: Flow, state: State) -> GradientMoments:
    """Whatever the bins are."""
    if flow.factor.shape[1] == 1:
        by = flow.factor[:, 0] ** 2
        return GradientMoments(
            flow.second * by,
            flow.across_positions * by,
            flow.across_samples * by,
            None,
            flow.spread,
            flow.swing,
            flow.profile,
            normed=flow.normed,
            owed=flow.owed,
        )
    squares = flow.factor**2
    both = latent.covariances(np.stack([flow.factor, squares]), state.correlations)
    alike = [of_factor for of_factor, _ in both]
    of_squares = (latent.expectation(squares**2), *(of_square for _, of_square in both))
    parts = (flow.second, flow.across_positions, flow.across_samples)
    fourth = [(flow.second**2 + 2 * part**2) * k for part, k in zip(parts, of_squares, strict=True)]
    return GradientMoments(
        flow.second * latent.expectation(squares),
        flow.across_positions * alike[0],
        flow.across_samples * alike[1],
        _over_pairs(state, *fourth),
        flow.spread,
        flow.swing,
        flow.profile,
        normed=flow.normed,
        owed=flow.owed,
    )


def _relative(same: Array | float, positions: Array | float, samples: Array | float) -> Array:
    """How much more covariances change than squares do."""
    q = float(np.mean(same))
    return np.reshape([float(np.mean(k)) / q if q else 0.0 for k in (positions, samples)], (2, 1, 1))
