"""A loop over positions, run as a whole on tensors that are distributed as its arguments are.

Features that no step sums over are many alike: a few of them, drawn often, tell as much as all, drawn once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Final
from zlib import crc32

import numpy as np
import torch
from torch.fx.node import Node as FxNode

from fanin.frameworks.torch.model.state import fixed_randomness
from fanin.frameworks.torch.predicting.loop_cut import Cut, cut_to, shape_of_value, summed_in_steps
from fanin.frameworks.torch.predicting.loop_draws import Draws, shares_of
from fanin.frameworks.torch.predicting.stand_ins import run
from fanin.frameworks.torch.predicting.structured import cubes_of, seen_in_draws, shaped
from fanin.signals.axes import Kind, kinds_of, size_of
from fanin.signals.loops import MARK, Loop, label, result_name, results_of, tensors_of
from fanin.signals.state import State, gaussian
from fanin.signals.values import Value

FEW_FEATURES: Final = 4
MANY_FEATURES: Final = 64  # where sources sum over them
ELEMENTS: Final = 1 << 22  # of the largest tensor, over all draws
DRAWS: Final = 1024  # at most
FIRST_FEATURES, FIRST_DRAWS = 32, 32  # of a first look at where most comes from
LARGEST: Final = 1 << 22  # elements of one tensor: beyond, nothing is run

Tensors = dict[str, torch.Tensor]


def _rest(name: str) -> str:
    """What stands for the features that a sum is without."""
    return f"the rest of {name}"


@dataclass(frozen=True, eq=False)
class Whole:
    """A loop with its arguments.

    Attributes:
        ruled: what rules say of its nodes: what their axes count is right.
        few: features with which it is run, where they are cut.
        most: draws of it.
    """

    loop: Loop
    nodes: Mapping[str, FxNode]
    arguments: Mapping[str, Value]
    ruled: Mapping[str, Value]
    few: int = FEW_FEATURES
    most: int = DRAWS

    @cached_property
    def cut(self) -> Cut:
        """Axes of features that are cut; of size 0 if none is."""
        for size in self._alike():
            for many in (MANY_FEATURES, size):
                cut = cut_to(self.loop, size, self.few, many)
                if self._runs_with(cut):
                    return cut
        return Cut()

    def _alike(self) -> Iterable[int]:
        """Sizes of axes of features that one of the loop's ends has and that none of its steps sums over."""
        signals = [v for v in (*self.arguments.values(), *self.ruled.values()) if isinstance(v, State)]
        others = {size_of(a) for v in signals for a in v.axes if kinds_of(a) != {Kind.FEATURE}}
        ends = [v for n, v in self.ruled.items() if isinstance(v, State) and self._is_read(n)]
        of_ends = {size_of(a) for v in ends for a in v.axes if kinds_of(a) == {Kind.FEATURE}}
        summed = summed_in_steps(self.loop)
        return sorted((n for n in of_ends - others - summed if n > self.few), reverse=True)

    def _is_read(self, name: str) -> bool:
        return name in self.nodes and any(user.name not in self.loop.names for user in self.nodes[name].users)

    def _runs_with(self, cut: Cut) -> bool:
        arguments = {n: cut.shape(shape_of_value(v), n) for n, v in self.arguments.items()}
        arguments |= {_rest(name): shape_of_value(state) for name, state in self._sums(cut).items()}
        try:
            made = self._run({n: torch.empty(shape, device="meta") for n, shape in arguments.items()}, None, cut)
        except Exception:  # noqa: BLE001  # a question, not a call: whatever it raises, the answer is no
            return False
        return all(tuple(made[node.name].shape) == cut.shape(node.shape, node.name) for node in self.loop.nodes)

    @cached_property
    def largest(self) -> int:
        """Elements of the largest tensor."""
        arguments = (self.cut.shape(shape_of_value(v), n) for n, v in self.arguments.items())
        nodes = (self.cut.shape(node.shape, node.name) for node in self.loop.nodes)
        return max(math.prod(shape) for shape in (*arguments, *nodes))

    @property
    def draws(self) -> int:
        """How often the loop is run."""
        return min(max(ELEMENTS // self.largest, 1), self.most)

    @cached_property
    def small(self) -> dict[str, Value]:
        """The arguments with the features that are left, and what stands for the rest in sums."""
        arguments = {name: self.cut.smaller(value, name) for name, value in self.arguments.items()}
        return arguments | {_rest(name): state for name, state in self._sums(self.cut).items()}

    def _sums(self, cut: Cut) -> dict[str, State]:
        """What rules say of sums of which only a part of the features is drawn."""
        summing = [n.name for n in self.loop.nodes if n.name in self.loop.sources and cut.sums(n)]
        known = {name: self.ruled[name] for name in summing if cut.many < cut.size}
        return {name: value for name, value in known.items() if isinstance(value, State)}

    def values(self) -> dict[str, Value]:
        """What its nodes look like.

        Raises:
            ValueError: it is too large to be run.
        """
        if self.largest > LARGEST:
            raise ValueError(f"{self.largest} elements")
        made = self._made(self.drawn)
        return {n: self._seen_as(n, v, made[n]) for n, v in self.of_steps.items()}

    def _made(self, drawn: Draws) -> Tensors:
        with torch.no_grad():
            return self.run_often(drawn, drawn.tensors())

    @cached_property
    def drawn(self) -> Draws:
        """Of its arguments, more where a first look says that more comes of them."""
        first = replace(self, few=FIRST_FEATURES, most=FIRST_DRAWS)
        seed = crc32(self.loop.last.encode())  # loops of one model are not off in the same way
        if not self.cut.size or self.cut.size != first.cut.size:
            return Draws(self.small, self.draws, self.cut.left, seed=seed)
        plain = Draws(first.small, first.draws, first.cut.left, seed=seed)
        return Draws(self.small, self.draws, self.cut.left, shares_of(plain.points, first._scores(plain)), seed)

    def _scores(self, drawn: Draws) -> torch.Tensor:
        """How large each feature is in each draw, over all of the loop's steps: squares over their means."""
        made, size = self._made(drawn), self.cut.size
        found = torch.zeros(drawn.number, self.cut.left)
        for name, value in self.of_steps.items():
            shape = shape_of_value(value)
            if size in shape and made[name].is_floating_point():
                squares = made[name].square().movedim(1 + shape.index(size), 1).flatten(2).mean(2)
                found += squares / squares.mean().clamp(min=1e-30)
        return found

    @cached_property
    def of_steps(self) -> dict[str, State]:
        """What rules say of the signals in its steps; those of its sources the rules know without drawing."""
        sources = {n for node in self.loop.nodes if node.name in self.loop.sources for n in results_of(node)}
        return {n: v for n, v in self.ruled.items() if n not in sources and isinstance(v, State)}

    def _seen_as(self, name: str, ruled: State, draws: torch.Tensor) -> State:
        """The moments of all draws; how it is spread only where something outside reads it."""
        axes, shape = self.cut.axes(ruled.axes, self.cut.left), shape_of_value(ruled)
        weights = self.drawn.points.weights
        counted = self.cut.counted(draws, shape, weights)
        _, (q, k, s) = seen_in_draws(cubes_of(counted, axes))
        mean = float(self.cut.counted(counted, shape, weights).double().mean())
        if ruled.samples == 1:
            s = mean**2
        found = gaussian(ruled.axes, np.array([ruled.features]), mean, q, k, s)
        if self._is_read(name):
            alike = cubes_of(self.cut.alike(draws, shape, weights), axes)
            found = replace(shaped(found.pooled([alike.shape[3]]), list(alike)), sizes=found.sizes)
        return replace(found, draws=ruled.draws, marks=ruled.marks | {MARK})

    def run_often(self, drawn: Draws, tensors: Tensors) -> Tensors:
        """In all draws."""
        fixed_randomness()
        return torch.vmap(partial(self._run, cut=self.cut))(tensors, drawn.points.weights)

    def _run(self, tensors: Mapping[str, torch.Tensor], weights: torch.Tensor | None, cut: Cut) -> Tensors:
        """All nodes, in single precision whatever the program has."""
        made: Tensors = {}
        sums = self._sums(cut)
        for node in self.loop.nodes:
            given = {}
            for name, ref in tensors_of(node):
                inside = result_name(ref) in made
                tensor = made[result_name(ref)] if inside else tensors[label(ref)]
                given[name] = cut.entering(tensor, ref, ref.name if inside else label(ref), node, weights)
            device = next(iter(given.values())).device.type
            results = run(self.nodes[node.name], given, device)
            of_node = zip(results_of(node), results, strict=True)
            made |= {name: x.float() if x.is_floating_point() else x for name, x in of_node}
            if node.name in sums:
                mean = sums[node.name].average(sums[node.name].mean)
                made[node.name] = cut.whole_sum(made[node.name], tensors[_rest(node.name)], mean)
        return made
