"""One operation run on stand-ins: what its results look like, and what a cotangent of them becomes at its arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch

from fanin.frameworks.torch.model.state import fixed_randomness
from fanin.frameworks.torch.predicting.stand_ins import StandIns, result_axes, simplified
from fanin.frameworks.torch.predicting.structured import Seen, average, cotangent, cube_of, noise, seen, state_of
from fanin.signals.axes import Axes, Kind, count
from fanin.signals.bands import APART
from fanin.signals.draws import NOTHING
from fanin.signals.gradient import GradientMoments
from fanin.signals.state import State
from fanin.signals.values import Call, Constant, Unknown, Value, Weight

ELEMENTS: Final = 1 << 14  # that are looked at, at least: small tensors are drawn several times
RUNS: Final = 16  # at most

Found = dict[str, GradientMoments | float]  # by argument: of a signal, or E (∂w)² of a weight


@dataclass(frozen=True, eq=False)
class Trial:
    """The same draws for values and for gradients, so that nothing is kept in between."""

    small: StandIns
    call: Call

    @property
    def runs(self) -> int:
        """How often."""
        largest = max((math.prod(s) for s in self.small.shapes), default=1)
        return min(max(ELEMENTS // max(largest, 1), 1), RUNS)

    def values(self) -> tuple[Value, ...]:
        """What the results look like."""
        with torch.no_grad():
            results = [self._run(seed)[1] for seed in range(self.runs)]
        marks = self._marks()
        return tuple(self._value(index, [r[index] for r in results], marks) for index in range(len(results[0])))

    def _run(self, seed: int, prepare: Callable[[torch.Tensor], Any] | None = None) -> tuple[Any, tuple[Any, ...]]:
        fixed_randomness(seed)
        tensors = self.small.draw(torch.Generator().manual_seed(seed))
        for name, tensor in tensors.items() if prepare else ():
            if isinstance(self.small.values[name], (State, Weight)):  # the rest may have no derivative
                prepare(tensor)  # type: ignore[misc]
        return tensors, self.small.run(tensors)

    def _marks(self) -> frozenset[str]:
        op, values = self.call.node.op, self.call.values
        marks = set().union(*(v.marks for v in values.values() if isinstance(v, State)))
        if len({v.root for v in values.values() if isinstance(v, State) and not v.constant}) > 1:
            marks.add(APART)
        unknown = [n for n, v in values.items() if isinstance(v, Unknown) and v.bound is None]
        if unknown:
            marks.add(f"nothing is known of the {', '.join(unknown)} of {op}")
        if any(simplified(v) for v in values.values()):
            marks.add(f"the weight of {op} was taken for one of independent elements")
        return frozenset(marks)

    def _value(self, index: int, results: list[Any], marks: frozenset[str]) -> Value:
        shape = (self.call.node.shapes or (self.call.node.shape,))[index]
        first = results[0]
        axes = result_axes(self.call, index)
        if not isinstance(first, torch.Tensor) or first.numel() == 0:
            return Unknown(shape, "", axes)
        dtype = str(first.dtype).removeprefix("torch.")
        if not (first.is_floating_point() or first.is_complex()):
            if tuple(first.shape) == shape:
                return Constant(first.numpy())
            return Unknown(shape, dtype, axes, None if first.dtype is torch.bool else int(first.max()) + 1)
        if first.is_complex():
            marks |= {f"real and imaginary parts of {self.call.node.op} were taken for alike"}
        own = self._axes(index, first)
        x = [_finite(r.real * math.sqrt(2) if r.is_complex() else r) for r in results]
        if all(lost == 1 for _, lost in x):
            return Unknown(shape, dtype, axes)
        if lost := max(lost for _, lost in x):
            marks |= {f"{lost:.0%} of what {self.call.node.op} makes is not finite, and was left out"}
        cubes = [cube_of(r, own) for r, _ in x]
        sizes = self._sizes(own)
        state = state_of(cubes, axes, sizes)
        if count(axes, Kind.FEATURE) != int(sizes.sum()):
            state = state.pooled([max(count(axes, Kind.FEATURE), 1)])
        draws = [v.draws for v in self.call.values.values() if isinstance(v, State)]
        return replace(state, draws=max(draws, key=lambda d: d.variance, default=NOTHING), marks=marks)

    def _axes(self, index: int, result: torch.Tensor) -> Axes:
        small = Call(replace(self.call.node, shapes=self._shapes(index, result)), self.small.values, self.call.plain)
        return result_axes(small, index)

    def _shapes(self, index: int, result: torch.Tensor) -> tuple[tuple[int, ...], ...]:
        shapes = list(self.call.node.shapes or (self.call.node.shape,))
        shapes[index] = tuple(result.shape)
        return tuple(shapes)

    def _sizes(self, axes: Axes) -> Any:
        """The segments of the state that goes in, where as many features come out."""
        features = max(count(axes, Kind.FEATURE), 1)
        for value in self.small.values.values():
            if isinstance(value, State) and value.features == features and len(value.sizes) > 1:
                return value.sizes
        return np.array([features])

    def gradients(self, wanted: Sequence[GradientMoments | None], values: Sequence[Value]) -> Found:
        """What a cotangent of these moments becomes at each argument."""
        found: list[dict[str, Seen]] = []
        for seed in range(self.runs):
            with torch.enable_grad():
                tensors, results = self._run(seed, lambda t: t.requires_grad_(t.is_floating_point()))
            found.append(self._pulled(seed, tensors, results, wanted, values))
        out: Found = {}
        for name in found[0]:
            moments = average([one[name] for one in found if name in one]).moments
            value, small = self.call.values[name], self.small.values[name]
            if isinstance(value, Weight):
                out[name] = float(moments.second[0]) / self.small.share  # as many terms as there are samples
            elif isinstance(value, State) and isinstance(small, State):
                out[name] = seen_alike(moments, small, value)
        return out

    def _pulled(
        self,
        seed: int,
        tensors: dict[str, torch.Tensor],
        results: Sequence[Any],
        wanted: Sequence[GradientMoments | None],
        values: Sequence[Value],
    ) -> dict[str, Seen]:
        generator = torch.Generator().manual_seed(RUNS + seed)
        pairs = []
        for index, (result, moments, value) in enumerate(zip(results, wanted, values, strict=True)):
            if moments is None or not isinstance(value, State) or not getattr(result, "requires_grad", False):
                continue
            like = replace(value, axes=self._axes(index, result))
            sizes = self._sizes(like.axes)
            if len(sizes) != len(value.sizes) or like.features != int(sizes.sum()):
                like = like.pooled([int(sizes.sum())])
            delta = cotangent(seen_alike(moments, value, like), like, noise(like.axes, generator))
            pairs.append((result, torch.where(torch.isfinite(result.detach()), delta, 0.0)))
        leaves = {name: t for name, t in tensors.items() if t.requires_grad and self.small.same[name] == name}
        if not pairs or not leaves:
            return {}
        outputs, deltas = [r for r, _ in pairs], [d.to(r.dtype) for r, d in pairs]
        try:
            backs = torch.autograd.grad(outputs, list(leaves.values()), deltas, allow_unused=True)
        except (RuntimeError, NotImplementedError):
            return {}  # no derivative: nothing comes back in training either
        return {
            name: self._seen(name, back.nan_to_num(0.0, 0.0, 0.0))
            for name, back in zip(leaves, backs, strict=True)
            if back is not None
        }

    def _seen(self, name: str, gradient: torch.Tensor) -> Seen:
        value = self.small.values[name]
        if isinstance(value, State):
            return seen(cube_of(gradient, value.axes), value.sizes)
        flat = gradient.reshape(1, 1, -1)
        return seen(flat, np.array([flat.shape[-1]]))


def seen_alike(moments: GradientMoments, of: State, to: State) -> GradientMoments:
    """Of a state with other segments: the average over all features."""
    if len(of.sizes) == len(to.sizes):
        return moments
    return moments.each(lambda m: np.full(len(to.sizes), of.average(m)))


def _finite(x: torch.Tensor) -> tuple[torch.Tensor, float]:
    """With what is not finite replaced by the mean of the rest, and its share."""
    good = torch.isfinite(x)
    if bool(good.all()):
        return x, 0.0
    if not bool(good.any()):
        return x, 1.0
    return torch.where(good, x, x[good].mean()), 1 - int(good.sum()) / x.numel()
