"""Draws of what a loop is made from: as many of every tensor, along a first axis.

What a feature has of its own over all positions and samples, as a bias has, is one number for each feature and draw.
Few features decide what comes of a loop: those that are driven hard and long. So these numbers are spread evenly over
their laws, together, and more of them are drawn from where more comes of them; such a feature counts as much less.

References: Sobol 1967, Owen 1997 (even spreading); Lepage 1978 (VEGAS: where to draw more, one axis at a time).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import torch

from fanin.frameworks.torch.predicting.stand_ins import other
from fanin.frameworks.torch.predicting.structured import Noise, at_nodes, drawn, laid_out_draws, noise
from fanin.signals.axes import Kind, axes_of, count
from fanin.signals.frozen import replace
from fanin.signals.state import State
from fanin.signals.values import Value, Weight

EDGE: Final = 1e-6  # of probability, where a quantile is cut off
LEVELS: Final = 16  # of each number, of which some are drawn more often
EVERYWHERE: Final = 0.5  # of all features are drawn as their law says


class Points(NamedTuple):
    """What features have of their own.

    Attributes:
        of: probabilities by tensor, draw and feature.
        weights: of each draw and feature; 1 on average.
    """

    of: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True, eq=False)
class Draws:
    """Of all arguments.

    Attributes:
        values: of the arguments.
        number: of draws.
        few: features of which each is spread evenly; the first ones, where a tensor has more.
        shares: of the points, by tensor and level; None where they are drawn as their law says.
    """

    values: Mapping[str, Value]
    number: int
    few: int
    shares: torch.Tensor | None = None
    seed: int = 0

    @cached_property
    def points(self) -> Points:
        """A point for each draw and feature, a number of it for each tensor."""
        tensors = sum(isinstance(v, (State, Weight)) for v in self.values.values())
        engine = torch.quasirandom.SobolEngine(max(tensors, 1), scramble=True, seed=self.seed)  # type: ignore[no-untyped-call]
        even = engine.draw(self.number * max(self.few, 1)).T.reshape(-1, self.number, max(self.few, 1))
        if self.shares is None:
            return Points(even, torch.ones_like(even[0]))
        pairs = [_warped(one, shares) for one, shares in zip(even, self.shares, strict=True)]
        weights = torch.stack([w for _, w in pairs]).prod(0)
        return Points(torch.stack([p for p, _ in pairs]), weights / weights.mean())

    def fewer(self, by: int) -> Draws:
        """The first of the draws, so many times fewer."""
        return replace(self, number=max(self.number // by, 1))

    def tensors(self) -> dict[str, torch.Tensor]:
        """All draws of each argument; states of one root are functions of one noise."""
        generator = torch.Generator().manual_seed(self.seed)
        noises: dict[Any, Noise] = {}
        found: dict[str, torch.Tensor] = {}
        own = self._own()
        for name, value in self.values.items():
            if isinstance(value, State):
                key = (id(value.root), *(count(value.axes, kind) for kind in Kind))
                wide, even = beside(value, self.number), next(own)
                if key not in noises:
                    noises[key] = self._spread(noise(wide.axes, generator), even)
                found[name] = draws_of(drawn(wide, noises[key]), value, self.number)
            elif isinstance(value, Weight) and len(value.sizes) == 1:
                found[name] = self._weights(value, next(own), generator)
            else:
                found[name] = torch.stack([other(value, generator) for _ in range(self.number)])
        return found

    def _own(self) -> Iterator[torch.Tensor]:
        """Standard normal numbers of every draw and feature, for one tensor after the other."""
        return iter(torch.special.ndtri(self.points.of.clamp(EDGE, 1 - EDGE)))

    def _spread(self, of: Noise, own: torch.Tensor) -> Noise:
        """With these in the place of what the first features have in common over all positions and samples."""
        b, p, _ = of.own.shape
        of_all = of.of_all.reshape(self.number, -1)
        if not 0 < self.few <= of_all.shape[1]:
            return of
        of_all = torch.cat([own / math.sqrt(b * p), of_all[:, self.few :]], 1)
        return of._replace(of_all=of_all.reshape(1, 1, -1))

    def _weights(self, weight: Weight, own: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Of one law everywhere."""
        shape = (self.number, *weight.shape)
        z = own.reshape(shape) if _one_each(weight.shape, self.few) else torch.randn(shape, generator=generator)
        if weight.marginal is not None:
            return at_nodes(z, weight.marginal[0])
        return float(weight.mean[0]) + math.sqrt(float(weight.variance[0])) * z


def _one_each(shape: tuple[int, ...], few: int) -> bool:
    """Whether a tensor has one number for each feature, whatever axes of one entry: a bias may be a column."""
    return few in shape and math.prod(shape) == few


def shares_of(points: Points, scores: torch.Tensor) -> torch.Tensor:
    """How many of the points to draw at each level of each number, from how much came of those that were drawn.

    Args:
        scores: by draw and feature, a square: what is looked for is its mean.
    """
    level = (points.of * LEVELS).long().clamp(max=LEVELS - 1).flatten(1)
    found = []
    for each in level:
        seen = torch.zeros(LEVELS).index_add(0, each, scores.flatten().square().float())
        size = (seen / torch.bincount(each, minlength=LEVELS).clamp(min=1)).sqrt()
        found.append(EVERYWHERE / LEVELS + (1 - EVERYWHERE) * size / size.sum().clamp(min=1e-30))
    return torch.stack(found)


def _warped(even: torch.Tensor, shares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Evenly spread probabilities brought to where these shares of them are to be, and how much each then counts."""
    shares = shares / shares.sum()
    ends = shares.cumsum(0)
    level = torch.searchsorted(ends, even.contiguous()).clamp(max=len(shares) - 1)
    inside = (even - (ends - shares)[level]) / shares[level]
    return (level + inside.clamp(0, 1)) / len(shares), 1 / (len(shares) * shares[level])


def beside(value: State, draws: int) -> State:
    """Its features several times, which are as many draws: (samples, positions, draws · features)."""
    features = draws * max(count(value.axes, Kind.FEATURE), 1)
    sizes = (value.samples, value.positions, features)
    one = value.pooled([features])
    return replace(one, axes=axes_of(sizes, (Kind.SAMPLE, Kind.POSITION, Kind.FEATURE))).beside(one)


def draws_of(wide: torch.Tensor, value: State, draws: int) -> torch.Tensor:
    """From features that are draws of features to a tensor for each draw."""
    b, p, c = wide.shape
    cubes = wide.reshape(b, p, draws, c // draws).permute(2, 0, 1, 3)
    return laid_out_draws(cubes, value.axes)
