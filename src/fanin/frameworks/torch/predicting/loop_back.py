"""The way back through a loop that is run as a whole: through its real adjoint, on draws of its arguments and of δ.

What is between is kept for it, and what comes back is spread less than what goes forward: half of the draws are enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from fanin.frameworks.torch.predicting.loop_cut import shape_of_value
from fanin.frameworks.torch.predicting.loop_draws import Draws, beside, draws_of
from fanin.frameworks.torch.predicting.loop_whole import Tensors, Whole
from fanin.frameworks.torch.predicting.structured import cotangent, cubes_of, noise, seen_in_draws
from fanin.signals import latent
from fanin.signals.flow import Gradient
from fanin.signals.gradient import GradientMoments
from fanin.signals.gradient_forms import with_factor
from fanin.signals.latent import Array
from fanin.signals.loops import Returned
from fanin.signals.state import State
from fanin.signals.values import Weight, WeightGradient

LEVELS: Final = 32  # of a latent that are told apart
SEED: Final = 512  # of what is drawn for δ


@dataclass(frozen=True, eq=False)
class WayBack:
    """Of a loop that has been run.

    Attributes:
        drawn: its arguments.
    """

    whole: Whole
    drawn: Draws

    def through(self, reached: Mapping[str, GradientMoments]) -> Returned:
        """From gradients with these moments at some of its nodes.

        That of an argument depends on its latent: units that are driven slowly are driven long.
        """
        largest = max((float(m.second.max()) for m in reached.values()), default=0.0)
        if not largest > 0:
            return Returned({}, ())
        unit = {name: m.times(1 / largest) for name, m in reached.items()}
        tensors, backs = self._pulled(unit)
        looks = {n: self._look(n, back).times(largest) for n, back in backs.items()}
        one = {n: s.pooled() for n, s in self.whole.of_steps.items()}  # as they are seen, whatever rules told apart
        states = {n: one.get(n, value) for n, value in self.whole.ruled.items() if isinstance(value, State)}
        inside = {n: _flow(m, states[n]) for n, m in looks.items() if n in states}
        outside: list[tuple[Any, Gradient | WeightGradient]] = []
        for name, ref in self.whole.loop.arguments.items():
            value = self.whole.arguments[name]
            if name in looks and isinstance(value, State):
                delta, x = self._few(name, backs[name]), self._few(name, tensors[name])
                given = given_latent(delta, x, value, self._weights_of(name, value))
                outside.append((ref, _flow(looks[name], value, given)))
            elif name in looks:
                outside.append((ref, WeightGradient(float(looks[name].second.mean()))))
        return Returned(inside, outside)

    def _pulled(self, wanted: Mapping[str, GradientMoments]) -> tuple[Tensors, Tensors]:
        """The arguments, and the gradients of those and of the nodes."""
        tensors = self.drawn.tensors()
        given = (n for n, value in self.whole.arguments.items() if isinstance(value, (State, Weight)))
        leaves = {n: tensors[n].requires_grad_() for n in given}
        with torch.enable_grad():
            made = self.whole.run_often(self.drawn, tensors)
        generator = torch.Generator().manual_seed(SEED)
        ends = {n: made[n] for n in wanted if made[n].requires_grad}
        deltas = [self._cotangents(n, wanted[n], generator) for n in ends]
        targets = leaves | {n: t for n, t in made.items() if t.requires_grad}
        backs = torch.autograd.grad(list(ends.values()), list(targets.values()), deltas, allow_unused=True)
        return tensors, {n: back for n, back in zip(targets, backs, strict=True) if back is not None}

    def _cotangents(self, name: str, moments: GradientMoments, generator: torch.Generator) -> torch.Tensor:
        like = self.whole.cut.smaller(self.whole.ruled[name], name.partition("#")[0])
        assert isinstance(like, State)
        wide = beside(like, self.drawn.number)
        pooled = moments.each(lambda m: np.array([m.mean()]))
        found = draws_of(cotangent(pooled, wide, noise(wide.axes, generator)), like, self.drawn.number)
        return self.whole.cut.counted(found, shape_of_value(self.whole.ruled[name]), self.drawn.points.weights)

    def _look(self, name: str, gradient: torch.Tensor) -> GradientMoments:
        value = self.whole.ruled.get(name) or self.whole.arguments.get(name)
        if not isinstance(value, State):
            return GradientMoments(np.array([float(gradient.double().square().mean())]), np.zeros(1), np.zeros(1))
        cubes = cubes_of(self._few(name, gradient), self.whole.cut.axes(value.axes, self.whole.cut.left))
        _, moments = seen_in_draws(cubes)
        second, positions, samples = (np.array([m]) for m in moments)
        return GradientMoments(second, positions, samples)

    def _weights_of(self, name: str, value: State) -> torch.Tensor:
        """How much each number of an argument counts."""
        few = self._few(name, torch.ones((self.drawn.number, *self.whole.cut.shape(shape_of_value(value), name))))
        root = self.whole.cut.counted(few, shape_of_value(value), self.drawn.points.weights)
        return root.square()

    def _few(self, name: str, draws: torch.Tensor) -> torch.Tensor:
        """The features that the loop is run with, of a tensor that its sources sum over: only they have all uses."""
        if name.partition("#")[0] not in self.whole.cut.whole and name not in self.whole.cut.whole:
            return draws
        return self.whole.cut.few(draws, shape_of_value(self.whole.ruled.get(name) or self.whole.arguments[name]))


def _flow(moments: GradientMoments, value: Any, given: Array | None = None) -> Gradient:
    """At all segments of a state."""
    rows = len(value.sizes)
    everywhere = moments.each(lambda m: np.full(rows, float(m.mean())))
    return everywhere.flow() if given is None else with_factor(np.repeat(given[None], rows, 0), value, everywhere)


def given_latent(gradient: torch.Tensor, x: torch.Tensor, state: State, weights: torch.Tensor) -> Array | None:
    """√E[δ² | z] at the nodes of z, from draws of δ and of x = F(z); None where F does not rise or fall throughout.

    Args:
        gradient: times the root of the weights.
        weights: how much each draw counts.
    """
    steps = np.diff(state.values.mean(0))
    rises, falls = bool((steps >= 0).all()), bool((steps <= 0).all())
    if len(state.sizes) > 1 or rises == falls or x.numel() < LEVELS**2:
        return None
    order = x.detach().reshape(-1).argsort(descending=falls)
    squares, counts = (t.detach().reshape(-1)[order].double() for t in (gradient.square(), weights))
    at = (LEVELS * (counts.cumsum(0) - counts / 2) / counts.sum()).long().clamp(max=LEVELS - 1)
    sums, known = (torch.zeros(LEVELS).double().index_add(0, at, t) for t in (squares, counts))
    levels = (sums / known.clamp(min=1e-30)).numpy()
    middle = np.interp((np.arange(LEVELS) + 0.5) / LEVELS, np.cumsum(latent.WEIGHTS), latent.NODES)
    return np.asarray(np.sqrt(np.interp(latent.NODES, middle, levels)))
