"""One tensor as the engine sees it, and what becomes of it: functions of it, other scales, segments and bins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanin.signals import latent
from fanin.signals.axes import Axes
from fanin.signals.bins import Bins, over_pairs
from fanin.signals.distribution import Distribution, Root, Sizes, Terms
from fanin.signals.draws import NOTHING, Draws
from fanin.signals.frozen import replace
from fanin.signals.latent import Array
from fanin.signals.places import Places
from fanin.signals.taps import Profile


@dataclass(frozen=True, eq=False)
class State(Distribution):
    """One tensor. What is known of it is a `Distribution`, and nothing else."""

    def typical(self) -> State:
        """As in a net of infinite width, where all draws are alike."""
        if not len(self.draws.amplitudes):
            return self
        return self._also(replace(self, draws=NOTHING), note=self.note, bins=self.bins, terms=self.terms)

    def moved_by(self, part: Array) -> State:
        """The same, where only a part of E x² moves with what it was made of, and a bias adds the rest.

        d log(p + b) = p/(p + b) · d log p: a deep net that its biases feed forgets how its first layers were drawn.
        """
        whole = self.average(self.second)
        share = min(self.average(part) / whole, 1.0) if whole > 0 else 1.0
        return self if share == 1 else replace(self, draws=self.draws.times(share))

    def of(self, values: Array) -> State:
        """Another function of the same latent, with the moments that follow."""
        series = latent.series(values)
        of_positions, of_samples = latent.summed(series, self.correlations)
        if any(self.squares):
            at_positions, at_samples = self.squares
            of_positions, of_samples = (
                of_positions + at_positions * series[:, 2],
                of_samples + at_samples * series[:, 2],
            )
        new = replace(
            self,
            mean=latent.expectation(values),
            second=latent.expectation(values**2),
            across_positions=of_positions,
            across_samples=of_samples,
            marginal=values,
            latents=self.correlations,
            mean_of=None,
            fixed=False,
            squares=(0.0, 0.0),
            shared=0.0,
        )
        return self._also(new, series=series, places=self._places_of(values, series))

    def _places_of(self, values: Array, series: Array) -> Places | None:
        """What samples have in common at one position, of a function of the latent."""
        if self.places is None:
            return None
        if self.marginal is not None:
            correlation = latent.correlation_of(self.marginal, self.places.second)
        else:
            square = self.mean**2
            correlation = np.clip((self.places.second - square) / np.maximum(self.variance, 1e-300), -1.0, 1.0)
        return self.places.changed(latent.summed(series, (correlation,))[0])

    def scaled(self, by: Array | float, shift: Array | float = 0.0) -> State:
        """By · x + shift: the same latent, and Gaussian if x is."""
        stays = isinstance(shift, float) and shift == 0

        def moved(second: Array) -> Array:
            return np.asarray(by**2 * second if stays else by**2 * second + 2 * by * shift * self.mean + shift**2)

        marginal = None
        if self.marginal is not None or np.any(np.asarray(by) < 0):  # the latent keeps its sign
            marginal = np.asarray(by).reshape(-1, 1) * self.values
            marginal = marginal if stays else marginal + np.asarray(shift).reshape(-1, 1)
        places = None if self.places is None else self.places.changed(moved(self.places.second))
        new = replace(
            self,
            mean=np.asarray(by * self.mean + shift),
            second=moved(self.second),
            across_positions=moved(self.across_positions),
            across_samples=moved(self.across_samples),
            marginal=marginal,
            latents=self.correlations if marginal is not None else self.latents,
            mean_of=None,
            shared=float(np.mean(by)) ** 2 * self.shared if self.shared else 0.0,
        )
        return new if places is None else new.with_places(places)

    def split_at(self, ends: Sizes) -> State:
        """The same with segments that end there; every end of its own must be among them."""
        own = np.cumsum(self.sizes)
        if len(own) == len(ends):
            return self
        return self.rows(np.searchsorted(own, ends), np.diff(ends, prepend=0))

    def rows(self, chosen: NDArray[np.int64], sizes: Sizes, *, root: Root | None = None) -> State:
        """These segments, with new sizes."""
        out = replace(
            self,
            sizes=np.asarray(sizes, dtype=np.int64),
            mean=self.mean[chosen],
            second=self.second[chosen],
            across_positions=self.across_positions[chosen],
            across_samples=self.across_samples[chosen],
            marginal=None if self.marginal is None else self.marginal[chosen],
            root=root or self.root,
            latents=None if self.latents is None else (self.latents[0][chosen], self.latents[1][chosen]),
        )
        return out if self.bins is None else out.beside(self)

    def pooled(self, sizes: Sequence[int] | None = None) -> State:
        """One segment: the features are taken for one population. Of another number of features, if sizes are given."""
        new = np.asarray([self.features] if sizes is None else sizes, dtype=np.int64)
        if len(self.sizes) == 1:
            return replace(self, sizes=new).beside(self)
        w = self.shares
        out = gaussian(
            self.axes,
            new,
            *(np.asarray([w @ x]) for x in (self.mean, self.second, self.across_positions, self.across_samples)),
            draws=self.draws,
            marks=self.marks,
            profile=self.profile,
        )
        return out if self.bins is None else out.beside(self)

    def of_terms(self, terms: Terms, reach: Profile | None = None) -> State:
        """With features that are sums of few terms, of which a border takes some."""
        return self._also(replace(self), terms=terms, bins=self.bins, reach=reach)

    def with_places(self, places: Places | None) -> State:
        """With what samples have in common at one position."""
        return self._also(replace(self), bins=self.bins, terms=self.terms, reach=self.reach, places=places)

    def noted(self, note: Any) -> State:
        """With a note."""
        return self._also(replace(self), note=note, bins=self.bins)

    def marked(self, *marks: str) -> State:
        """With further assumptions."""
        return self._also(replace(self, marks=self.marks | set(marks)), bins=self.bins)

    @staticmethod
    def _also(new: State, **fields: Any) -> State:
        for name, value in fields.items():
            object.__setattr__(new, name, value)
        return new

    def binned(self, bins: Bins | None) -> State:
        """With moments by bin, and those of all positions that follow."""
        if bins is None:
            return self
        mean, second, positions, samples = bins.averages()
        marginal, latents = self.marginal, None
        if len(self.sizes) == 1:
            moments = [np.array([m]) for m in (mean, second, positions, samples)]
            marginal = None if bins.values is None else (bins.shares @ bins.values)[None]
            if marginal is not None:
                known = over_pairs(bins.counts, bins.correlations)
                latents = (np.array([known[0]]), np.array([known[1]]))
        else:
            ratio = self.second / (self.average(self.second) or 1.0)
            before = (self.across_positions, self.across_samples)
            across = [k + ratio * (new - self.average(k)) for k, new in zip(before, (positions, samples), strict=True)]
            moments = [self.mean, ratio * second, *across]
        mean_, second_, positions_, samples_ = moments
        out = replace(
            self,
            mean=mean_,
            second=second_,
            across_positions=positions_,
            across_samples=samples_,
            marginal=marginal,
            latents=latents,
        )
        return self._also(out, bins=bins if len(bins.counts) > 1 else None)

    def beside(self, other: State) -> State:
        """With the bins of another state of as many positions, brought to the second moment of this one."""
        bins = other.bins
        if bins is None or self.positions != other.positions:
            return self
        known, own = other.average(other.second), self.average(self.second)
        if known > 0 and abs(own - known) > 1e-9 * known:
            bins = bins.scaled(math.sqrt(own / known))
        return self._also(replace(self), bins=bins)

    def in_bins(self, counts: Sizes) -> Bins:
        """Its moments in these bins, which are those of all positions if it has none of its own."""
        if self.bins is not None:
            return self.bins.repeated(counts)
        mean, second, positions, samples = (
            self.average(m) for m in (self.mean, self.second, self.across_positions, self.across_samples)
        )
        values = None if self.marginal is None else np.asarray(self.shares @ self.marginal)
        found = Bins.alike(counts, mean, second, (positions, samples), values)
        if values is None:
            return found
        latents = np.array([self.average(k) for k in self.correlations])
        return replace(found, latents=np.broadcast_to(latents[:, None, None], found.across.shape))


def gaussian(
    axes: Axes,
    sizes: Sequence[int] | Sizes,
    mean: Array | float,
    second: Array | float,
    across_positions: Array | float,
    across_samples: Array | float,
    *,
    draws: Draws = NOTHING,
    marks: frozenset[str] = frozenset(),
    profile: Profile | None = None,
) -> State:
    """A state with a latent of its own; scalars count for all segments.

    What rounding or an approximation makes impossible is cut off: E x² ≥ (E x)², and no covariance beyond the variance.
    """
    n = np.asarray(sizes, dtype=np.int64)

    def rows(x: Array | float) -> Array:
        filled = np.empty(n.shape)
        filled[...] = x
        return filled

    m, q = rows(mean), rows(second)
    q = np.maximum(q, m**2)
    v = q - m**2
    k, s = (m**2 + np.minimum(np.maximum(rows(x) - m**2, -v), v) for x in (across_positions, across_samples))
    return State(axes, n, m, q, k, s, draws=draws, marks=marks, profile=profile)


def aligned(*states: State) -> tuple[State, ...]:
    """The same states with segments that end at the same features; those of one feature are spread over all.

    Raises:
        ValueError: numbers of features that do not go together.
    """
    features = max(s.features for s in states)
    spread = [s.rows(np.zeros(1, dtype=np.int64), np.array([features])) if s.features == 1 else s for s in states]
    if any(s.features != features for s in spread):
        raise ValueError(f"features {[s.features for s in states]}")
    if all(len(s.sizes) == 1 for s in spread):
        return tuple(spread)
    ends = np.unique(np.concatenate([np.cumsum(s.sizes) for s in spread]))
    return tuple(s.split_at(ends) for s in spread)
