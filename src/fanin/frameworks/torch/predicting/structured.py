"""Tensors that are distributed as a state says, and what the engine would know of a tensor.

A feature is a Gaussian z pushed through the marginal F. White noise over B samples and P positions has a mean over all
of it, the means of samples around that, and the rest; z is those three with other sizes. With correlations ρ_pos and
ρ_smp their variances grow by the eigenvalues of the correlation matrix,

    λ_all = 1 + (P − 1) ρ_pos + (B − 1) P ρ_smp,    λ_sample = 1 + (P − 1) ρ_pos − P ρ_smp,    λ_own = 1 − ρ_pos,

so that positive and negative correlations alike come out as they are wanted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch

from fanin.frameworks.torch.model.quantiles import MANY, quantiles
from fanin.signals import latent
from fanin.signals.axes import Axes, Kind, count, shape_of
from fanin.signals.bins import Bins
from fanin.signals.distribution import Sizes
from fanin.signals.gradient import GradientMoments
from fanin.signals.latent import Array
from fanin.signals.particles import moments_of
from fanin.signals.state import State, gaussian

KINDS: Final = (Kind.SAMPLE, Kind.POSITION, Kind.FEATURE)
FEW: Final = 16  # numbers whose mean square is too uncertain to be set to 1
MANY_ZEROS: Final = 0.01
NOT_GAUSSIAN: Final = 0.05  # root mean square distance of two standardized marginals that counts


class Noise(NamedTuple):
    """White noise of (samples, positions, features) in three parts, which add up to unit variance."""

    of_all: torch.Tensor
    of_sample: torch.Tensor
    own: torch.Tensor

    def correlated(self, across_positions: Array, across_samples: Array) -> torch.Tensor:
        """Of unit variance, with these correlations feature by feature."""
        b, p, _ = self.own.shape
        eigenvalues = (
            1 + (p - 1) * across_positions + (b - 1) * p * across_samples,
            1 + (p - 1) * across_positions - p * across_samples,
            1 - across_positions,
        )
        by = [torch.from_numpy(np.sqrt(np.maximum(x, 0.0))).float() for x in eigenvalues]
        z: torch.Tensor = by[0] * self.of_all + by[1] * self.of_sample + by[2] * self.own
        return z


def noise(axes: Axes, generator: torch.Generator) -> Noise:
    """For a tensor of these axes."""
    b, p, c = (count(axes, kind) for kind in KINDS)
    white = torch.randn((b, p, c), generator=generator)
    of_sample = white.mean(1, keepdim=True)
    of_all = of_sample.mean(0, keepdim=True)
    return Noise(
        _of_size(of_all, 1 / (b * p)),
        _of_size(of_sample - of_all, (1 - 1 / b) / p),
        _of_size(white - of_sample, 1 - 1 / p),
    )


def _of_size(x: torch.Tensor, variance: float) -> torch.Tensor:
    """With exactly that mean square, if there are enough numbers to speak of one."""
    found = float(x.square().mean())
    return x * math.sqrt(variance / found) if x.numel() >= FEW and found > 0 else x


def drawn(state: State, of: Noise) -> torch.Tensor:
    """A tensor of the state's axes and moments."""
    segment = np.repeat(np.arange(len(state.sizes)), state.sizes)
    positions, samples = state.correlations
    z = of.correlated(positions[segment], samples[segment])
    if state.bins is not None and len(state.sizes) == 1:
        return laid_out(_by_bin(z, state.bins), state.axes)
    if state.marginal is None:
        std, mean = (torch.from_numpy(x[segment]).float() for x in (np.sqrt(state.variance), state.mean))
        return laid_out(mean + std * z, state.axes)
    parts = zip(torch.split(z, state.sizes.tolist(), -1), state.marginal, strict=True)
    return laid_out(torch.cat([at_nodes(part, values) for part, values in parts], -1), state.axes)


def _by_bin(z: torch.Tensor, bins: Bins) -> torch.Tensor:
    """The positions of each bin through its own marginal."""
    parts = zip(torch.split(z, bins.counts.tolist(), 1), bins.at_nodes, strict=True)
    return torch.cat([at_nodes(part, values) for part, values in parts], 1)


def at_nodes(z: torch.Tensor, values: Array) -> torch.Tensor:
    """F(z) between the values of F at the nodes of `latent`, which are evenly spaced.

    Example:
        >>> z = torch.tensor([-9.0, 0.0, 1.25])
        >>> at_nodes(z, latent.NODES**3).round(decimals=2)
        tensor([-508.1700,    0.0000,    1.9500])
    """
    first, step = float(latent.NODES[0]), float(latent.NODES[1] - latent.NODES[0])
    at = ((z - first) / step).clamp_(0, len(values) - 1.001)
    below = at.long()
    known = torch.from_numpy(np.asarray(values, dtype=np.float32))
    return torch.lerp(known[below], known[below + 1], at - below)


def cotangent(moments: GradientMoments, state: State, of: Noise) -> torch.Tensor:
    """δ of these moments by segment, laid out as the state."""
    segment = np.repeat(np.arange(len(state.sizes)), state.sizes)
    g = moments.second
    safe = np.where(g > 0, g, 1.0)
    z = of.correlated((moments.across_positions / safe)[segment], (moments.across_samples / safe)[segment])
    return laid_out(torch.from_numpy(np.sqrt(g)[segment]).float() * z, state.axes)


def laid_out(cube: torch.Tensor, axes: Axes) -> torch.Tensor:
    """From (samples, positions, features) to the tensor's own axes."""
    factors = [f for a in axes for f in a]
    order = _order(axes)
    inverse = sorted(range(len(order)), key=order.__getitem__)
    return cube.reshape([factors[i][1] for i in order]).permute(inverse).reshape(shape_of(axes))


def cube_of(x: torch.Tensor, axes: Axes) -> torch.Tensor:
    """A tensor as (samples, positions, features).

    Example:
        >>> from fanin.signals.axes import usual
        >>> x = torch.arange(24.0).reshape(2, 3, 2, 2)
        >>> cube = cube_of(x, usual(x.shape))
        >>> tuple(cube.shape), bool((laid_out(cube, usual(x.shape)) == x).all())
        ((2, 4, 3), True)
    """
    factors = [size for a in axes for _, size in a]
    return x.reshape(factors).permute(_order(axes)).reshape([count(axes, kind) for kind in KINDS])


def cubes_of(draws: torch.Tensor, axes: Axes) -> torch.Tensor:
    """Draws of a tensor, along a first axis that `axes` does not count: (draws, samples, positions, features)."""
    factors = [size for a in axes for _, size in a]
    order = [0, *(at + 1 for at in _order(axes))]
    return draws.reshape(len(draws), *factors).permute(order).reshape(-1, *(count(axes, kind) for kind in KINDS))


def laid_out_draws(cubes: torch.Tensor, axes: Axes) -> torch.Tensor:
    """From (draws, samples, positions, features) to several draws of a tensor of these axes."""
    factors = [f for a in axes for f in a]
    order = _order(axes)
    inverse = [0, *(order.index(at) + 1 for at in range(len(order)))]
    return cubes.reshape(-1, *(factors[i][1] for i in order)).permute(inverse).reshape(-1, *shape_of(axes))


def seen_in_draws(cubes: torch.Tensor) -> tuple[float, tuple[float, float, float]]:
    """The mean over (draws, samples, positions, features) of x, and of x x' for each kind of pair within a draw."""
    _, b, p, _ = cubes.shape
    squares, of_sample = cubes.square().sum(2).double(), cubes.sum(2).double()
    of_samples, mean = of_sample.square(), float(of_sample.mean()) / p
    second = float(squares.mean()) / p
    positions = float((of_samples - squares).mean()) / (p * (p - 1)) if p > 1 else second
    pairs = of_sample.sum(1).square() - of_samples.sum(1)
    samples = float(pairs.mean()) / (b * (b - 1) * p * p) if b > 1 else mean**2
    return mean, (second, positions, samples)


def _order(axes: Axes) -> list[int]:
    kinds = [kind for a in axes for kind, _ in a]
    return [i for kind in KINDS for i, k in enumerate(kinds) if k is kind]


class Seen(NamedTuple):
    """What was seen of one tensor, by segment."""

    mean: Array
    moments: GradientMoments


def seen(cube: torch.Tensor, sizes: Sizes) -> Seen:
    """Moments of (samples, positions, features), by segments of the features."""
    mean, second, positions, samples = moments_of(cube.detach().double().numpy(), sizes)
    zero = 0 * second
    return Seen(
        mean,
        GradientMoments(second, zero if positions is None else positions, zero if samples is None else samples),
    )


def average(of: Sequence[Seen]) -> Seen:
    """Over several draws."""
    n = len(of)
    moments = of[0].moments
    for one in of[1:]:
        moments = moments + one.moments
    return Seen(np.asarray(sum(one.mean for one in of) / n), moments.times(1 / n))


def state_of(cubes: Sequence[torch.Tensor], axes: Axes, sizes: Sizes) -> State:
    """The state of a tensor that was seen once or several times; Gaussian where it looks so."""
    found = average([seen(cube, sizes) for cube in cubes])
    mean, (q, k, s) = found.mean, (getattr(found.moments, m) for m in ("second", "across_positions", "across_samples"))
    b, p = cubes[0].shape[:2]
    state = gaussian(axes, sizes, mean, q, k if p > 1 else q, s if b > 1 else mean**2)
    return shaped(state, cubes)


def shaped(state: State, cubes: Sequence[torch.Tensor]) -> State:
    """The same moments, spread as what was drawn; Gaussian where that looks so."""
    marginal = _marginal(cubes, state)
    return state if marginal is None else _through(state, marginal)


def _through(state: State, marginal: Array) -> State:
    return State(
        state.axes,
        state.sizes,
        state.mean,
        state.second,
        state.across_positions,
        state.across_samples,
        np.stack([_fitted(*row) for row in zip(marginal, state.mean, state.variance, state.second, strict=True)]),
    )


def _fitted(row: Array, mean: float, variance: float, second: float) -> Array:
    """Shifted and stretched to the moments; only stretched where many values are 0, so that they stay so."""
    if (row == 0) @ latent.WEIGHTS > MANY_ZEROS:
        return np.asarray(row * math.sqrt(second / float(row**2 @ latent.WEIGHTS)))
    return np.asarray(latent.moved(row[None], np.array([mean]), np.array([variance]))[0])


def _marginal(cubes: Sequence[torch.Tensor], state: State) -> Array | None:
    rows, start = [], 0
    for size in state.sizes:
        columns = torch.cat([cube[..., start : start + size].reshape(-1) for cube in cubes])
        rows.append(quantiles(columns))
        start += int(size)
    found = np.stack(rows)
    zero, one = np.zeros(len(found)), np.ones(len(found))
    distance = np.sqrt(latent.expectation((latent.moved(found, zero, one) - latent.NODES) ** 2))
    worst = distance[state.variance > 0].max(initial=0.0)
    return found if worst > NOT_GAUSSIAN + 4 / math.sqrt(min(len(columns), MANY)) else None
