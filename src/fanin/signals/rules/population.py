"""Which entries of a tensor fall in one: how many features, positions and samples, and what their mean is like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fanin.signals.axes import Axes, Kind, count
from fanin.signals.bins import Bins
from fanin.signals.distribution import Root
from fanin.signals.flow import Gradient
from fanin.signals.gradient import GradientMoments, total
from fanin.signals.latent import NODES, Array
from fanin.signals.state import State, gaussian
from fanin.signals.values import Call


@dataclass(frozen=True, eq=False)
class Population:
    """What is reduced to one entry.

    Attributes:
        whole: the state that is reduced.
        axes: of the result.
        features, positions, samples: how many of `whole` make one of the result.
    """

    whole: State
    axes: Axes
    features: int
    positions: int
    samples: int

    @classmethod
    def of_call(cls, call: Call, x: State) -> Population:
        """By the arguments `dim` and `keepdim`; without `dim`, all axes."""
        dim = call["dim"]
        dims = [dim] if isinstance(dim, int) else list(dim or range(len(x.axes)))
        return cls.of_dims(x, dims, keep=bool(call.get("keepdim", False)))

    @classmethod
    def of_dims(cls, x: State, dims: Sequence[int], *, keep: bool) -> Population:
        """Of these axes, which stay as axes of one entry or go."""
        rank = max(len(x.axes), 1)
        taken = {d % rank for d in dims} if x.axes else set()
        axes = tuple(() if at in taken else a for at, a in enumerate(x.axes) if keep or at not in taken)
        inside = [a for at, a in enumerate(x.axes) if at in taken]
        return cls(x, axes, *(count(inside, kind) for kind in (Kind.FEATURE, Kind.POSITION, Kind.SAMPLE)))

    @property
    def count(self) -> int:
        """N: all entries that make one."""
        return self.features * self.positions * self.samples

    @property
    def inside(self) -> float:
        """Of all pairs of different positions of the whole, the share that falls in one."""
        return (self.positions - 1) / max(self.whole.positions - 1, 1)

    def pool(self, x: State) -> State:
        """One segment, where features fall in one."""
        return x.pooled() if self.features > 1 else x

    def mean(self, x: State) -> State:
        """The mean of the entries: E m² = (q + (n − 1) k)/n over positions and samples; over features k is μ²."""
        mu, q, k, s = x.mean, x.second, x.across_positions, x.across_samples
        p, b, c = self.positions, self.samples, self.features
        q = (q + (p - 1) * k) / p
        k = k if x.positions > p else q
        q, k = (q + (b - 1) * s) / b, (k + (b - 1) * s) / b
        s = s if x.samples > b else k
        sizes = x.sizes
        if c > 1:
            centre = x.average(mu)
            q, k, s = (np.array([centre**2 + x.average(m - mu**2) / c]) for m in (q, k, s))
            mu, sizes = np.array([centre]), np.array([max(x.features // c, 1)])
        out = gaussian(self.axes, sizes, mu, q, k, s, draws=x.draws, marks=x.marks)
        if self.count == 1:
            return replace(x, axes=self.axes).beside(x)
        shape = shape_of_mean(x, out)
        out = out if shape is None else replace(out, marginal=shape)
        out = replace(out, mean_of=x)
        out = out if x.bins is None or p * b > 1 else out.binned(mean_in_bins(x.bins, c))
        return replace(out, root=Root(x.root, out)).beside(out)

    def repeated(self, gradient: Gradient, out: State) -> GradientMoments:
        """The gradient of a result, at each of the entries that made it: all of them get the same."""
        seen, x = total(gradient, out), self.whole
        g, h, s = seen.second, seen.across_positions, seen.across_samples
        if self.positions > 1:
            h = self.inside * g + (1 - self.inside) * h
        if self.samples > 1:
            same = (g + (x.positions - 1) * h) / x.positions
            share = (self.samples - 1) / (x.samples - 1)
            s = share * same + (1 - share) * s
        rows = len(x.sizes)
        back = seen.become(*(m if len(m) == rows else np.full(rows, out.average(m)) for m in (g, h, s)))
        return replace(back, bins=seen.bins) if self.positions == self.samples == 1 else back

    def spread_rows(self, out: State) -> State:
        """The result with as many segments as the whole has."""
        rows = len(self.whole.sizes)
        if len(out.sizes) == rows:
            return out
        return out.pooled().rows(np.zeros(rows, dtype=np.int64), self.whole.sizes)


def mean_in_bins(x: Bins, features: int) -> Bins:
    """Of so many features of each position, which have their mean in common and nothing else."""
    base = np.outer(x.mean, x.mean)
    second, across = (m + (k - m) / features for m, k in ((x.mean**2, x.second), (base, x.across)))
    positive = bool((x.at_nodes >= 0).all() and (x.mean > 0).all())
    return Bins(x.counts, x.mean, second, across, log_normal_values(x.mean, second) if positive else None)


def shape_of_mean(x: State, mean: State) -> Array | None:
    """The marginal of a mean: that of x where entries are nearly copies, positive where they are; else Gaussian."""
    rows = len(mean.sizes)
    if len(x.sizes) == rows and (mean.variance > 0.7 * x.variance).all() and x.marginal is not None:
        with np.errstate(all="ignore"):
            by = np.nan_to_num(np.sqrt(mean.variance / x.variance), nan=0.0)
        return np.asarray(mean.mean[:, None] + by[:, None] * (x.values - x.mean[:, None]))
    if (x.values >= 0).all() and (mean.mean > 0).all() and (mean.variance > 0).any():
        return log_normal_values(mean.mean, mean.second)
    return None


def log_normal_values(mean: Array, second: Array) -> Array:
    """The quantiles of the log-normal law with these moments, at the nodes."""
    width = np.sqrt(np.log(np.maximum(second / mean**2, 1.0)))
    return np.asarray(mean[:, None] * np.exp(width[:, None] * NODES - width[:, None] ** 2 / 2))


def log_normal(of: State, shift: float = 0.0) -> State:
    """Log x + shift of a positive x, taken for log-normal: variance log(E x²/μ²), and so for covariances.

    Raises:
        ValueError: x is not positive on average.
    """
    if (of.mean <= 0).any():
        raise ValueError("the logarithm of what is not positive")
    width, positions, samples = (
        np.log(np.maximum(m / of.mean**2, 1e-300)) for m in (of.second, of.across_positions, of.across_samples)
    )
    mean = np.log(of.mean) - width / 2 + shift
    return replace(
        gaussian(of.axes, of.sizes, mean, mean**2 + width, mean**2 + positions, mean**2 + samples, marks=of.marks),
        root=Root(),
    )
