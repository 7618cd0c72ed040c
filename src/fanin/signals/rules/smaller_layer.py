"""One recurrent layer in one direction, run as a smaller one of the same kind, forward and back.

Independent steps would miss that gates stay open or shut: the bias of a unit, and what it sees of a lasting input, are
the same at every step. A layer of few hundred units with weights of as much variance a sum has the same moments, up to
1/units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fanin.initializers import Structure
from fanin.signals.axes import Axes, Kind, axis, size_of
from fanin.signals.gradient import GradientMoments
from fanin.signals.latent import Array
from fanin.signals.particles import draw, draw_levels, measure
from fanin.signals.rules.cells import CELLS, Tape, Weights
from fanin.signals.state import State, gaussian
from fanin.signals.taps import fitting
from fanin.signals.values import Weight

UNITS: Final = 256
SAMPLES: Final = 8
DRAWS: Final = (4, 16)  # the fewest and the most
DRAWN: Final = 1024  # units in all draws: what biases make of them, all steps have in common
LEAST: Final = 1e-9
MOMENTS: Final = ("second", "across_positions", "across_samples")


@dataclass(frozen=True)
class _Sizes:
    """Of the layer, and of the smaller one that is run."""

    units: int
    hidden: int  # of h: smaller than the units with a projection
    inputs: int
    read: int  # inputs of the smaller one: as many as the layer below has made

    @property
    def small(self) -> _Sizes:
        return _Sizes(min(self.units, UNITS), min(self.hidden, UNITS), self.read, self.read)


class SmallerLayer:
    """One layer in one direction."""

    def __init__(
        self,
        op: str,
        x: State,
        parameters: list[tuple[str, Weight]],
        first: bool,
        before: Sequence[Array],
        *,
        back: bool,
        at: int,
    ) -> None:
        """Args:
        at: which of a stack's layers and directions it is: each has draws of its own.
        """
        self.op, self.x, self.first, self.back = op, x, first, back
        self.laws = [w for _, w in parameters]
        self.biased = len(self.laws) >= 4
        self.projects = len(self.laws) in (3, 5)
        gates = CELLS[op].gates
        inputs = self.laws[0].shape[1]
        read = before[0].shape[2] if before else min(inputs, UNITS)
        self.sizes = _Sizes(self.laws[0].shape[0] // gates, self.laws[1].shape[1], inputs, read)
        self.samples = min(max(x.samples, 1), SAMPLES)
        self.small = _small(x, self.samples, self.sizes.small.inputs)
        self.random = np.random.default_rng(at)
        self.tapes: list[Tape] = []
        self.follows = bool(before)
        for one in range(self.draws):
            weights = self._weights()
            steps = self._in_order(before[one]) if self.follows else self._steps(draw(self.small, self.random))
            self.tapes.append(CELLS[op].run(steps, weights))
        self.out = self._state([tape.hidden for tape in self.tapes])
        self.last = [self._end([tape.ends[i] for tape in self.tapes]) for i in range(len(self.tapes[0].ends))]

    def _steps(self, x: Array) -> Array:
        """As (step, sample, feature), the first step first."""
        return self._in_order(x.transpose(1, 0, 2) if self.first else x)

    def _in_order(self, steps: Array) -> Array:
        return steps[::-1] if self.back else steps

    @property
    def draws(self) -> int:
        """How many: more of a narrow layer."""
        fewest, most = DRAWS
        return min(max(DRAWN // self.sizes.small.units, fewest), most)

    @property
    def hidden(self) -> list[Array]:
        """H of each draw as (step, sample, feature), for the layer on top: how it changes in time no moments hold."""
        return [self._in_order(tape.hidden) for tape in self.tapes]

    def _weights(self) -> Weights:
        sizes, small, gates = self.sizes, self.sizes.small, CELLS[self.op].gates
        w_x = self._drawn(self.laws[0], gates, small.units, small.inputs, sizes.inputs)
        w_h = self._drawn(self.laws[1], gates, small.units, small.hidden, sizes.hidden)
        biases = [np.zeros(gates * small.units)] * 2
        if self.biased:
            biases = [self._drawn(law, gates, small.units, 1, 1)[:, 0] for law in self.laws[2:4]]
        project = self._drawn(self.laws[-1], 1, small.hidden, small.units, sizes.units) if self.projects else None
        return Weights(w_x, w_h, biases[0], biases[1], project)

    def _drawn(self, law: Weight, gates: int, rows: int, columns: int, of: int) -> Array:
        """Of fewer rows and columns, with as much variance a row."""
        parts = []
        each = law.shape[0] // gates
        for gate in range(gates):
            mean, variance = _rows(law, gate * each, (gate + 1) * each)
            part = self.random.standard_normal((rows, columns))
            if law.structure in (Structure.ORTHOGONAL, Structure.ISOMETRY) and rows == columns:
                q, r = np.linalg.qr(part)
                part = q * np.sign(np.diag(r)) * np.sqrt(rows)
            parts.append(mean * (of / columns) + np.sqrt(variance * of / columns) * part)
        return np.concatenate(parts)

    def _state(self, hidden: list[Array]) -> State:
        """Of h at all steps."""
        h = [(tape[::-1] if self.back else tape) for tape in hidden]
        own = (self.x.axes[0], self.x.axes[1], axis(Kind.FEATURE, self.sizes.hidden))
        axes: Axes = (
            axis(Kind.POSITION, h[0].shape[0]),
            axis(Kind.SAMPLE, self.samples),
            axis(Kind.FEATURE, h[0].shape[2]),
        )
        state = _measured(h, axes, own, self.sizes.hidden)
        of_step = np.mean([(tape**2).mean((1, 2)) for tape in h], axis=0)
        return replace(state, profile=(of_step / of_step.mean(),) if of_step.mean() > 0 else None)

    def _end(self, ends: list[Array]) -> State:
        """Of the last h or c."""
        n = self.sizes.hidden if ends[0].shape[1] == self.sizes.small.hidden else self.sizes.units
        axes = in_time(ends[0][None])[1:]
        samples = self.x.axes[0] if self.first else self.x.axes[1]
        return _measured(ends, axes, (samples, axis(Kind.FEATURE, n)), n)

    def adjoint(self, at: int, d_hidden: Array, d_ends: Sequence[Array]) -> tuple[Array, list[Array]]:
        """Gradients of the input, and of each parameter by sample, of one draw; steps are in the order of the sequence.

        They are as large as those of the layer itself, whose inputs may be more.
        """
        back = CELLS[self.op].adjoint(self.tapes[at], self._in_order(d_hidden), d_ends)
        small, sizes = self.sizes.small, self.sizes
        by = np.sqrt(sizes.units / small.units * small.inputs / sizes.inputs)
        weights = back.weights if self.biased else back.weights[:2] + back.weights[4:]
        return by * self._in_order(back.inputs), weights

    def behind(self, at: int, sources: Sequence[GradientMoments], *, common: bool) -> Array:
        """What comes back to h of one draw, (step, sample, feature).

        Args:
            common: the same to all samples; otherwise they have nothing in common.
        """
        hidden = self.tapes[at].hidden
        one = hidden[:, :1] if common else hidden
        delta = np.zeros_like(one)
        for seen in sources:
            profile, of_two = over_steps(seen, len(hidden))
            drawn = draw_levels(float(np.mean(seen.second)), of_two, 0.0, _like(one, in_time(one)), self.random)
            delta += drawn * np.sqrt(profile)[:, None, None]
        return np.broadcast_to(delta, hidden.shape)

    def at_end(self, at: int, sources: Sequence[Sequence[GradientMoments | None]], *, common: bool) -> list[Array]:
        """The same to the last h, and to the last c of an LSTM."""
        ends = self.tapes[at].ends
        found = [np.zeros_like(end) for end in ends]
        for seen in sources:
            for of, moments in enumerate(seen):
                if moments is not None:
                    drawn = self.random.standard_normal((1 if common else len(ends[of]), ends[of].shape[1]))
                    found[of] += np.sqrt(float(np.mean(moments.second))) * drawn
        return found


def over_steps(seen: GradientMoments, steps: int) -> tuple[Array, float]:
    """How E δ² is spread over steps, and E δ_t δ_t' of two that are as large as on average.

    Covariances are averages over pairs of steps: where few steps have a gradient, those few are as much more alike.
    """
    (profile,) = fitting(seen.profile, [steps])
    second, positions = (float(np.mean(m)) for m in (seen.second, seen.across_positions))
    root = np.sqrt(profile)
    of_two = (float(root.sum()) ** 2 - float(profile.sum())) / max(steps * (steps - 1), 1)
    return profile, float(np.clip(positions / of_two, 0.0, second)) if of_two > LEAST else 0.0


def in_common(seen: GradientMoments, steps: int) -> float:
    """E δ_s δ_s' of two samples beside what it is if all have the same δ: both over all pairs of steps."""
    second, positions, samples = (float(np.mean(m)) for m in seen.moments)
    same = (second + (steps - 1) * positions) / steps
    return samples / same if same > 0 else 0.0


def in_time(array: Array) -> Axes:
    """Of (step, sample, feature)."""
    steps, samples, features = array.shape
    return (axis(Kind.POSITION, steps), axis(Kind.SAMPLE, samples), axis(Kind.FEATURE, features))


def _like(array: Array, axes: Axes) -> State:
    return gaussian(axes, [array.shape[-1]], 0.0, 1.0, 0.0, 0.0)


def _small(x: State, samples: int, features: int) -> State:
    """Fewer samples and features of the same."""
    axes = tuple(
        axis(kind, samples if kind is Kind.SAMPLE else size_of(a)) for a, kind in zip(x.axes, _kinds(x), strict=True)
    )
    axes = (*axes[:2], axis(Kind.FEATURE, features))
    pooled = x.pooled([features]) if len(x.sizes) == 1 else x.pooled().pooled([features])
    return replace(pooled, axes=axes)


def _kinds(x: State) -> list[Kind]:
    order = [Kind.SAMPLE, Kind.POSITION, Kind.FEATURE]
    known = [a[0][0] if a else None for a in x.axes]
    rest = [k for k in order if k not in known]
    return [k if k is not None else rest.pop(0) for k in known]


def _rows(law: Weight, low: int, high: int) -> tuple[float, float]:
    """Mean and variance of an element of some rows."""
    ends = np.cumsum(law.sizes)
    inside = np.clip(np.minimum(ends, high) - np.maximum(ends - law.sizes, low), 0, None)
    share = inside / inside.sum()
    mean = float(share @ law.mean)
    return mean, max(float(share @ law.second) - mean**2, 0.0)


def _measured(arrays: list[Array], axes: Axes, own: Axes, features: int) -> State:
    found = [measure(a, axes) for a in arrays]

    def average(what: str) -> float:
        return float(np.mean([f.get(what, 0.0) for f in found]))

    return gaussian(own, [features], *map(average, ("mean", *MOMENTS)))
