"""What comes back through a stack of recurrent layers, draw by draw, from its top to its input.

A layer hands to the one below what it has found for each step of each draw: a net that is read at its last step sends
next to nothing back to the first ones, and no moments over all steps hold that.

Parameters see the sum over samples. Where their gradients have nothing in common, B samples have B times the square of
one. What they have in common may be a thousandth of it, and counts B times: eight samples that are drawn would not show
it. But gradients are linear in what comes back. One sweep has samples apart, another the same δ for all, and of the
pairs of the latter counts what pairs of samples have in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fanin.signals.frozen import replace
from fanin.signals.gradient import GradientMoments
from fanin.signals.latent import Array
from fanin.signals.particles import measure
from fanin.signals.rules.smaller_layer import MOMENTS, SmallerLayer, in_time

Layers = Sequence[Sequence[SmallerLayer]]  # by layer and direction
Ends = Sequence[Sequence[GradientMoments | None]]  # of h, and of c: by layer and direction


@dataclass(frozen=True)
class Source:
    """One result that something comes back to: h at all steps, or the last h, or the last c.

    Attributes:
        hidden: by direction, for h at all steps of the last layer.
        ends: for the last states.
        common: E δ δ' of two samples, beside what it is if all have the same δ.
    """

    hidden: Sequence[GradientMoments | None]
    ends: Ends
    common: float

    def ends_of(self, run: int) -> list[GradientMoments | None]:
        """Of one layer in one direction."""
        return [end[run] for end in self.ends]


class Sweep(NamedTuple):
    """One way back.

    Attributes:
        inputs: gradients of the input of the first layer, by draw.
        weights: by layer and direction: of each parameter E (∂w)² of one sample, and E ∂w ∂w' of two.
    """

    inputs: list[Array]
    weights: list[Array]


def back_through(layers: Layers, sources: Sequence[Source], samples: int) -> tuple[GradientMoments, list[Array]]:
    """Moments of the gradient of the input, and E (∂w)² of each parameter, by layer and direction."""
    apart = _sweep(layers, sources, common=False)
    found, squares = _moments(apart.inputs), [samples * seen[:, 0] for seen in apart.weights]
    across = np.zeros(1)
    for source in sources:
        if samples == 1 or source.common == 0:
            continue
        same = _sweep(layers, [source], common=True)
        across = across + source.common * _moments(same.inputs).across_samples
        pairs = samples * (samples - 1) * source.common
        squares = [of_one + pairs * seen[:, 1] for of_one, seen in zip(squares, same.weights, strict=True)]
    return replace(found, across_samples=across), [np.maximum(of_run, 0.0) for of_run in squares]


def _sweep(layers: Layers, sources: Sequence[Source], *, common: bool) -> Sweep:
    """From the last layer to the first."""
    weights: list[Array] = []
    above = [_from(run, [s.hidden[way] for s in sources], common=common) for way, run in enumerate(layers[-1])]
    below: list[Array] = []
    for depth in reversed(range(len(layers))):
        ways = layers[depth]
        ends = [[s.ends_of(depth * len(ways) + way) for s in sources] for way in range(len(ways))]
        handed = [_through(*of_way, common=common) for of_way in zip(ways, above, ends, strict=True)]
        below = [sum(of_draw[1:], of_draw[0]) for of_draw in zip(*(h.inputs for h in handed), strict=True)]
        weights = [w for h in handed for w in h.weights] + weights
        if depth:
            above = _handed_down(below, layers[depth - 1], follows=ways[0].follows, common=common)
    return Sweep(below, weights)


def _from(run: SmallerLayer, sources: Sequence[GradientMoments | None], *, common: bool) -> list[Array]:
    """What comes back to h of one layer, by draw."""
    known = [seen for seen in sources if seen is not None]
    return [run.behind(at, known, common=common) for at in range(run.draws)]


def _through(
    run: SmallerLayer, above: list[Array], ends: Sequence[Sequence[GradientMoments | None]], *, common: bool
) -> Sweep:
    """One layer in one direction."""
    inputs, weights = [], []
    for at, d_hidden in enumerate(above):
        d_x, by_sample = run.adjoint(at, d_hidden, run.at_end(at, ends, common=common))
        inputs.append(d_x)
        weights.append([_one_and_two(of_parameter) for of_parameter in by_sample])
    return Sweep(inputs, [np.mean(weights, axis=0)])


def _handed_down(below: list[Array], ways: Sequence[SmallerLayer], *, follows: bool, common: bool) -> list[list[Array]]:
    """To each direction its part; if it was not run on what the layer below has made, drawn anew from its moments."""
    if follows:
        return [list(part) for part in zip(*(np.split(array, len(ways), axis=2) for array in below), strict=True)]
    seen = _moments(below)
    return [_from(run, [seen], common=common) for run in ways]


def _one_and_two(by_sample: Array) -> tuple[float, float]:
    """E (∂w)² of one sample, and E ∂w ∂w' of any two."""
    n, squares = len(by_sample), float(np.mean(by_sample**2))
    return squares, (float(np.mean(by_sample.sum(0) ** 2)) - n * squares) / max(n * (n - 1), 1)


def _moments(arrays: Sequence[Array]) -> GradientMoments:
    """Of (step, sample, feature), over all draws."""
    found = [dict.fromkeys(MOMENTS, 0.0) | measure(array, in_time(array)) for array in arrays]
    second, positions, samples = (np.array([np.mean([m[what] for m in found])]) for what in MOMENTS)
    of_step = np.mean([(array**2).mean((1, 2)) for array in arrays], axis=0)
    profile = (of_step / of_step.mean(),) if of_step.mean() > 0 else None
    return GradientMoments(second, positions, samples, profile=profile)
