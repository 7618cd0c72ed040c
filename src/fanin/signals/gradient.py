"""What the engine knows of ∂loss/∂x: independent parts, each a carrier times a function of the latent of x.

A part δ·A(z) is what came back to some weight, δ, times the derivatives A of the pointwise operations since. Parts of
one carrier add up before they are squared, so that x·sigmoid(x), say, has one slope and not two that are independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count as counter
from typing import TypeAlias

import numpy as np

from fanin.signals import latent
from fanin.signals.bins_back import Spread
from fanin.signals.draws import NOTHING, Draws, together
from fanin.signals.latent import Array
from fanin.signals.orthogonal import Blind, Normed
from fanin.signals.state import Sizes, State
from fanin.signals.taps import Profile, blended

_carriers = counter()
TINY = 1e-300
FEW_TERMS = 64  # of a sum, of which one is seen in the gradient


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
        return {next(_carriers): self._carrying(ones, self.across_positions, self.across_samples)}

    def _carrying(self, factor: Array, positions: Array, samples: Array) -> Flow:
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
    found = _of_all(flow, state)
    if flow.bins is None:
        return found
    alike = state.average(flow.second)
    second, across = flow.bins.at(state.bins)
    found = found.spread_over(state, flow.bins.counts, alike * second, alike * across)
    return found if state.bins is not None else replace(found, bins=None)


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
    alike = latent.covariances(flow.factor, state.correlations)
    of_squares = (latent.expectation(squares**2), *latent.covariances(squares, state.correlations))
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
                found[next(_carriers)] = flow
    return found


def _added(a: Flow, b: Flow) -> Spread | None:
    """Of two parts of one carrier: one that has no bins has the factor of all positions in each."""
    known = a.bins or b.bins
    if known is None:
        return None
    factors = [f.bins.factor if f.bins is not None else f.factor.mean(0, keepdims=True) for f in (a, b)]
    return replace(known, factor=factors[0] + factors[1])


def condensed(gradient: Gradient, state: State) -> Gradient:
    """One part with a carrier of its own and the same moments; how δ² depends on the latent stays.

    Where the state has no bins, what comes back has none either.
    """
    unknown = state.bins is None and any(flow.bins is not None for flow in gradient.values())
    if len(gradient) < 2 and not unknown:
        return gradient
    return depending(gradient, state, total(gradient, state))


def depending(gradient: Gradient, state: State, wanted: GradientMoments) -> Gradient:
    """One part with these moments, whose δ² depends on the latent of the state as that of the gradient does."""
    flows = gradient.values()
    if all(flow.factor.shape[1] == 1 for flow in flows):
        return wanted.flow()
    shape = (len(wanted.second), latent.COUNT)
    return with_factor(np.sqrt(np.sum([flow.squares(shape) for flow in flows], axis=0)), state, wanted)


def with_factor(factor: Array, state: State, wanted: GradientMoments) -> Gradient:
    """One part with these moments at a node with this state, and a factor of this shape."""
    shape = factor / np.sqrt(np.maximum(latent.expectation(factor**2), TINY))[:, None]
    positions, samples = (np.maximum(k, TINY) for k in latent.covariances(shape, state.correlations))
    carrier = wanted._carrying(shape, wanted.across_positions / positions, wanted.across_samples / samples)
    if wanted.bins is not None and state.bins is not None:
        rows = np.repeat(shape.mean(0, keepdims=True), len(wanted.bins.counts), 0)
        across = wanted.bins.across / np.maximum(latent.between(rows, state.bins.correlations), TINY)
        carrier = replace(carrier, bins=replace(wanted.bins, across=across, factor=rows))
    return {next(_carriers): carrier}


def leaning(back: Gradient, x: State, gradient: Gradient, out: State) -> Gradient:
    """What has come back to x from sums of few terms, of which each moves its sum: δ² is large where x² makes it so.

    Of n terms one makes the variance of the sum (x̂² − 1)/n larger, and E δ² grows with that as E (z² − 1) A(z)².
    """
    if out.terms is None or out.terms.number > FEW_TERMS or all(f.factor.shape[1] == 1 for f in gradient.values()):
        return back
    squares = out.shares @ np.sum([flow.squares(out.values.shape) for flow in gradient.values()], axis=0)
    bent = float(latent.expectation(squares * (latent.NODES**2 - 1)))
    grows = bent / max(float(latent.expectation(squares)), TINY)
    off = (x.values - x.mean[:, None]) ** 2 / np.maximum(x.variance, TINY)[:, None] - 1
    factor = np.sqrt(np.maximum(1 + grows / out.terms.number * off, 0.0))
    return with_factor(factor, x, total(back, x))


def kept_apart(back: Gradient, seen: GradientMoments, x: State, *, alone: bool, border: float = 0.0) -> Gradient:
    """What comes back through weights with norms behind them, without what those owe to the weights.

    Args:
        back: as if they owed nothing.
        seen: the gradient behind the weights.
        alone: each feature goes through the weights by itself, and δ stays orthogonal to the signal and to 1.
        border: as of `Blind`.
    """
    normed = seen.normed or Normed(1.0, 1.0, 0.0)
    owed = normed.by_features * (seen.owed if alone else 1.0)
    by = (normed.by_weights * (1.0 if alone else seen.owed)) ** -0.5
    found = {carrier: replace(flow.times(by), owed=owed) for carrier, flow in back.items()}
    if not (alone and seen.normed):
        return {carrier: replace(flow, blind=None) for carrier, flow in found.items()}
    blind = {carrier: Blind(x.values, normed.along, border, flow.factor) for carrier, flow in found.items()}
    return {carrier: replace(flow, blind=blind[carrier]) for carrier, flow in found.items()}


def scaled(gradient: Gradient, factor: Array | float, by_bin: Array | None = None) -> Gradient:
    """Every part times a factor: a number, one a segment (segments, 1), or one a node; and what it is in each bin."""
    return {carrier: flow.times(factor, by_bin) for carrier, flow in gradient.items()}


def _size(factor: Array | float) -> float:
    """√E A² over all segments alike, with the sign of a number."""
    a = np.asarray(factor, dtype=np.float64)
    if a.ndim == 2 and a.shape[1] > 1:
        return float(np.sqrt(latent.expectation(a * a).mean()))
    return float(a.flat[0]) if a.size == 1 else float(np.sqrt((a * a).mean()))


def _relative(same: Array | float, positions: Array | float, samples: Array | float) -> Array:
    """How much more covariances change than squares do."""
    q = float(np.mean(same))
    return np.reshape([float(np.mean(k)) / q if q else 0.0 for k in (positions, samples)], (2, 1, 1))


def chosen(gradient: Gradient, rows: Sizes) -> Gradient:
    """Every part at these segments."""
    return {carrier: flow.rows(rows) for carrier, flow in gradient.items()}
