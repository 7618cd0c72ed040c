"""Run a loop over positions as a whole, on tensors that are distributed as its arguments are, and back.

Features that no step sums over are many alike: a few of them, drawn often, tell as much as all, drawn once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from torch.fx.node import Node as FxNode

from fanin.frameworks.torch.model.state import fixed_randomness, unchanged_randomness
from fanin.frameworks.torch.predicting.stand_ins import other, run
from fanin.frameworks.torch.predicting.structured import (
    cotangent,
    cubes_of,
    drawn,
    laid_out_draws,
    noise,
    seen_in_draws,
    state_of,
)
from fanin.frameworks.torch.tracing.trace import Traced
from fanin.graph import Node
from fanin.signals import latent
from fanin.signals.axes import Axes, Kind, axes_of, axis, count, kinds_of, shape_of, size_of
from fanin.signals.flow import Gradient
from fanin.signals.gradient import GradientMoments, total
from fanin.signals.gradient_forms import with_factor
from fanin.signals.latent import Array
from fanin.signals.loops import MARK, SUMS, Joint, Loop, Returned, RunLoop, label, tensors_of
from fanin.signals.state import State, gaussian
from fanin.signals.values import Constant, Value, Weight, WeightGradient

FEW_FEATURES: Final = 8
ELEMENTS: Final = 1 << 20  # of the largest tensor, over all draws
DRAWS: Final = 128  # at most
LEVELS: Final = 32  # of a latent that are told apart
LARGEST: Final = 1 << 22  # elements of one tensor: beyond, nothing is run

Tensors = dict[str, torch.Tensor]


def loop_runner(traced: Traced) -> RunLoop:
    """For the loops of one program."""
    nodes = {fx.name: fx for fx in traced.program.graph.nodes}

    def run_loop(loop: Loop, arguments: Mapping[str, Value], ruled: Mapping[str, Value]) -> Joint | None:
        whole = _Whole(loop, {node.name: nodes[node.name] for node in loop.nodes}, arguments, ruled)
        try:
            with unchanged_randomness():
                values = whole.values()
        except (RuntimeError, TypeError, ValueError, NotImplementedError):
            return None  # what the rules say of each node stands

        def pull(reached: Mapping[str, Gradient]) -> Returned:
            with unchanged_randomness():
                return whole.back({n: total(g, _state(values[n])) for n, g in reached.items() if n in values})

        return Joint(values, pull)

    return run_loop


def _state(value: Value) -> State:
    assert isinstance(value, State)
    return value


@dataclass(frozen=True, eq=False)
class _Whole:
    """A loop with its arguments.

    Attributes:
        ruled: what rules say of its nodes: what their axes count is right.
    """

    loop: Loop
    nodes: Mapping[str, FxNode]
    arguments: Mapping[str, Value]
    ruled: Mapping[str, Value]

    @cached_property
    def cut(self) -> tuple[int, int]:
        """Axes of features of this size are cut to that; (0, 0) if none is."""
        for size in self._alike():
            if self._runs_with((size, FEW_FEATURES)):
                return size, FEW_FEATURES
        return 0, 0

    def _alike(self) -> Iterable[int]:
        """Sizes of axes of features that one of the loop's ends has and that none of its sums runs over."""
        signals = [v for v in (*self.arguments.values(), *self.ruled.values()) if isinstance(v, State)]
        others = {size_of(a) for v in signals for a in v.axes if kinds_of(a) != {Kind.FEATURE}}
        ends = [v for n, v in self.ruled.items() if isinstance(v, State) and self._is_read(n)]
        of_ends = {size_of(a) for v in ends for a in v.axes if kinds_of(a) == {Kind.FEATURE}}
        summed = {size for node in self.loop.nodes for size in _summed(node)}
        return sorted((n for n in of_ends - others - summed if n > FEW_FEATURES), reverse=True)

    def _is_read(self, name: str) -> bool:
        return any(user.name not in self.loop.names for user in self.nodes[name].users)

    def _runs_with(self, cut: tuple[int, int]) -> bool:
        try:
            made = self._run({n: torch.empty(_cut(_shape(v), cut), device="meta") for n, v in self.arguments.items()})
        except Exception:  # noqa: BLE001  # a question, not a call: whatever it raises, the answer is no
            return False
        return all(tuple(made[node.name].shape) == _cut(node.shape, cut) for node in self.loop.nodes)

    @cached_property
    def largest(self) -> int:
        """Elements of the largest tensor."""
        return max(math.prod(_cut(node.shape, self.cut)) for node in self.loop.nodes)

    @property
    def draws(self) -> int:
        """How often the loop is run."""
        return min(max(ELEMENTS // self.largest, 1), DRAWS)

    @cached_property
    def small(self) -> dict[str, Value]:
        """The arguments with the features that are left."""
        return {name: _smaller(value, self.cut) for name, value in self.arguments.items()}

    def values(self) -> dict[str, Value]:
        """What its nodes look like.

        Raises:
            ValueError: it is too large to be run.
        """
        if self.largest > LARGEST:
            raise ValueError(f"{self.largest} elements")
        with torch.no_grad():
            made = torch.vmap(self._run)(self._drawn())
        return {n: self._seen_as(n, v, made[n]) for n, v in self.ruled.items() if isinstance(v, State)}

    def _seen_as(self, name: str, ruled: State, draws: torch.Tensor) -> State:
        """The moments of all draws; how it is spread only where something outside reads it."""
        cubes = cubes_of(draws, _smaller_axes(ruled.axes, self.cut))
        one = np.array([ruled.features])
        if self._is_read(name):
            found = replace(state_of(list(cubes), ruled.axes, np.array([cubes.shape[3]])), sizes=one)
        else:
            mean, (q, k, s) = seen_in_draws(cubes)
            found = gaussian(ruled.axes, one, mean, q, k, s)
        return replace(found, draws=ruled.draws, marks=ruled.marks | {MARK})

    def _drawn(self) -> Tensors:
        """All draws of each argument; states of one root are functions of one noise."""
        fixed_randomness()
        generator = torch.Generator().manual_seed(0)
        noises: dict[Any, Any] = {}
        found: Tensors = {}
        for name, value in self.small.items():
            if isinstance(value, State):
                key = (id(value.root), *(count(value.axes, kind) for kind in Kind))
                if key not in noises:
                    noises[key] = noise(_beside(value, self.draws).axes, generator)
                found[name] = _draws_of(drawn(_beside(value, self.draws), noises[key]), value, self.draws)
            else:
                found[name] = torch.stack([other(value, generator) for _ in range(self.draws)])
        return found

    def _run(self, tensors: Mapping[str, torch.Tensor]) -> Tensors:
        """All nodes, in single precision whatever the program has."""
        made: Tensors = {}
        for node in self.loop.nodes:
            given = {n: made[r.name] if r.name in made else tensors[label(r)] for n, r in tensors_of(node)}
            device = next(iter(given.values())).device.type
            (result,) = run(self.nodes[node.name], given, device)
            made[node.name] = result.float() if result.is_floating_point() else result
        return made

    def back(self, reached: Mapping[str, GradientMoments]) -> Returned:
        """From gradients with these moments at some of its nodes.

        That of an argument depends on its latent: units that are driven slowly are driven long.
        """
        largest = max((float(m.second.max()) for m in reached.values()), default=0.0)
        if not largest > 0:
            return Returned({}, ())
        unit = {name: m.times(1 / largest) for name, m in reached.items()}
        tensors, backs = self._pulled(unit)
        looks = {n: self._of_all(n, self._look(n, back).times(largest)) for n, back in backs.items()}
        inside = {n: _flow(m, self.ruled[n]) for n, m in looks.items() if isinstance(self.ruled.get(n), State)}
        outside: list[tuple[Any, Gradient | WeightGradient]] = []
        for name, ref in self.loop.arguments.items():
            value = self.arguments[name]
            if name in looks and isinstance(value, State):
                given = given_latent(backs[name], tensors[name], value)
                outside.append((ref, _flow(looks[name], value, given)))
            elif name in looks:
                outside.append((ref, WeightGradient(float(looks[name].second.mean()))))
        return Returned(inside, outside)

    def _pulled(self, wanted: Mapping[str, GradientMoments]) -> tuple[Tensors, Tensors]:
        """The arguments, and the gradients of those and of the nodes."""
        tensors = self._drawn()
        leaves = {n: t.requires_grad_() for n, t in tensors.items() if isinstance(self.arguments[n], (State, Weight))}
        with torch.enable_grad():
            made = torch.vmap(self._run)(tensors)
        generator = torch.Generator().manual_seed(DRAWS)
        ends = {n: made[n] for n in wanted if made[n].requires_grad}
        deltas = [self._cotangents(n, wanted[n], generator) for n in ends]
        targets = leaves | {n: t for n, t in made.items() if t.requires_grad}
        backs = torch.autograd.grad(list(ends.values()), list(targets.values()), deltas, allow_unused=True)
        return tensors, {n: back for n, back in zip(targets, backs, strict=True) if back is not None}

    def _cotangents(self, name: str, moments: GradientMoments, generator: torch.Generator) -> torch.Tensor:
        like = _smaller(self.ruled[name], self.cut)
        assert isinstance(like, State)
        wide = _beside(like, self.draws)
        share = _from_outside(self.cut, _shape(self.ruled[name]))
        pooled = moments.each(lambda m: np.array([share * m.mean()]))
        return _draws_of(cotangent(pooled, wide, noise(wide.axes, generator)), like, self.draws)

    def _look(self, name: str, gradient: torch.Tensor) -> GradientMoments:
        value = self.ruled.get(name) or self.arguments.get(name)
        if not isinstance(value, State):
            return GradientMoments(np.array([float(gradient.double().square().mean())]), np.zeros(1), np.zeros(1))
        _, moments = seen_in_draws(cubes_of(gradient, _smaller_axes(value.axes, self.cut)))
        second, positions, samples = (np.array([m]) for m in moments)
        return GradientMoments(second, positions, samples)

    def _of_all(self, name: str, moments: GradientMoments) -> GradientMoments:
        """Where the features that were left out add up, as many times more of it."""
        size, left = self.cut
        value = self.ruled.get(name) or self.arguments[name]
        return moments if size in _shape(value) or not size else moments.times(size / left)


def _summed(node: Node) -> set[int]:
    """Sizes of axes over which an operation sums."""
    shapes = {name: ref.shape for name, ref in tensors_of(node)}
    if node.op in ("matmul", "bmm"):
        return {next(iter(shapes.values()))[-1]}
    if node.op in SUMS:
        (shape,) = shapes.values()
        dims = node.arguments.get("dim")
        chosen = range(len(shape)) if dims is None else [dims] if isinstance(dims, int) else dims
        return {shape[d] for d in chosen}
    return set()


def _shape(value: Value) -> tuple[int, ...]:
    if isinstance(value, State):
        return shape_of(value.axes)
    return tuple(value.array.shape) if isinstance(value, Constant) else tuple(value.shape)


def _cut(shape: tuple[int, ...], cut: tuple[int, int]) -> tuple[int, ...]:
    size, left = cut
    return tuple(left if n == size else n for n in shape)


def _from_outside(cut: tuple[int, int], shape: tuple[int, ...]) -> float:
    """Of what reaches an end without the features that were cut: `_of_all` counts it with what those send back."""
    size, left = cut
    return left / size if size and size not in shape else 1.0


def _smaller_axes(axes: Axes, cut: tuple[int, int]) -> Axes:
    size, left = cut
    return tuple(axis(Kind.FEATURE, left) if size_of(a) == size and size else a for a in axes)


def _smaller(value: Value, cut: tuple[int, int]) -> Value:
    size, left = cut
    if size not in _shape(value) or not size:
        return value
    if isinstance(value, State):
        axes = _smaller_axes(value.axes, cut)
        return replace(value.pooled([max(count(axes, Kind.FEATURE), 1)]), axes=axes).beside(value)
    if isinstance(value, Weight):
        return value.seen(_cut(value.shape, cut), None)
    if isinstance(value, Constant):
        return Constant(value.array[tuple(slice(left) if n == size else slice(None) for n in value.array.shape)])
    return value


def _beside(value: State, draws: int) -> State:
    """Its features several times, which are as many draws: (samples, positions, draws · features)."""
    features = draws * max(count(value.axes, Kind.FEATURE), 1)
    sizes = (value.samples, value.positions, features)
    one = value.pooled([features])
    return replace(one, axes=axes_of(sizes, (Kind.SAMPLE, Kind.POSITION, Kind.FEATURE))).beside(one)


def _draws_of(wide: torch.Tensor, value: State, draws: int) -> torch.Tensor:
    """From features that are draws of features to a tensor for each draw."""
    b, p, c = wide.shape
    cubes = wide.reshape(b, p, draws, c // draws).permute(2, 0, 1, 3)
    return laid_out_draws(cubes, value.axes)


def _flow(moments: GradientMoments, value: Any, given: Array | None = None) -> Gradient:
    """At all segments of a state."""
    rows = len(value.sizes)
    everywhere = moments.each(lambda m: np.full(rows, float(m.mean())))
    return everywhere.flow() if given is None else with_factor(np.repeat(given[None], rows, 0), value, everywhere)


def given_latent(gradient: torch.Tensor, x: torch.Tensor, state: State) -> Array | None:
    """√E[δ² | z] at the nodes of z, from draws of δ and of x = F(z); None where F does not rise or fall throughout."""
    steps = np.diff(state.values.mean(0))
    rises, falls = bool((steps >= 0).all()), bool((steps <= 0).all())
    if len(state.sizes) > 1 or rises == falls or x.numel() < LEVELS**2:
        return None
    order = x.detach().reshape(-1).argsort(descending=falls)
    squares = gradient.detach().reshape(-1)[order].double().square()
    levels = torch.stack([part.mean() for part in squares.tensor_split(LEVELS)]).numpy()
    middle = np.interp((np.arange(LEVELS) + 0.5) / LEVELS, np.cumsum(latent.WEIGHTS), latent.NODES)
    return np.asarray(np.sqrt(np.interp(latent.NODES, middle, levels)))
