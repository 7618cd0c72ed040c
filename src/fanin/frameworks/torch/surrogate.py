"""Run an operation for real on tensors that are distributed as its arguments are.

For operations without a rule, and where a rule does not hold. What comes of it is as exact as a few hundred thousand
numbers are; the node is listed in `Signals.sampled`. A pointwise operation on functions of one latent is not sampled but
composed at the latent's nodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from torch.fx.node import Node as FxNode

from fanin.frameworks.torch.composed import composed
from fanin.frameworks.torch.failure import first_line
from fanin.frameworks.torch.stand_ins import StandIns, TooLarge, result_axes, simplified, stand_ins
from fanin.frameworks.torch.state import fixed_randomness, unchanged_randomness
from fanin.frameworks.torch.structured import Seen, average, cotangent, cube_of, noise, seen, state_of
from fanin.frameworks.torch.trace import Traced
from fanin.signals.axes import Axes, Kind, count, usual
from fanin.signals.gradient import Gradient, Moments3, total
from fanin.signals.propagate import Rule
from fanin.signals.state import Root, State, gaussian
from fanin.signals.values import Call, Constant, Outcome, Pulled, Unknown, Value, Weight, WeightGradient

ELEMENTS: Final = 1 << 14  # that are looked at, at least: small tensors are drawn several times
RUNS: Final = 64  # at most

Found = dict[str, Moments3 | float]


def sampler(traced: Traced) -> Rule:
    """A rule for every operation of the program. Calls that are alike to three digits share what was found."""
    nodes = {fx.name: fx for fx in traced.program.graph.nodes}
    cache: dict[Any, Any] = {}

    def sample(call: Call) -> Outcome:
        fx = nodes[call.node.name]
        exact = composed(fx, call)
        if exact is not None:
            return exact
        try:
            if not hasattr(fx.target, "_schema"):
                raise NotImplementedError("its arguments are not known")
            trial = _Trial(stand_ins(fx, call), call)
            key = _key(fx, call)
            if key not in cache:
                with unchanged_randomness():
                    cache[key] = trial.values()
        except TooLarge as size:
            return _passed_through(call, f"{call.node.op} was not run on a sample, which would have {size}")
        except Exception as error:  # noqa: BLE001  # whatever an operation raises is told in the mark
            return _passed_through(call, f"{call.node.op} could not be run: {type(error).__name__}: {first_line(error)}")
        values = tuple(_fresh(value) for value in cache[key])

        def pull(gradients: Sequence[Gradient]) -> Pulled:
            wanted = [
                total(gradient, value) if gradient and isinstance(value, State) else None
                for gradient, value in zip(gradients, values, strict=True)
            ]
            pulled = (key, "pull", *(None if w is None else _digits(*vars(w).values()) for w in wanted))
            if pulled not in cache:
                with unchanged_randomness():
                    cache[pulled] = trial.gradients(wanted, values)
            for name, back in cache[pulled].items():
                yield name, WeightGradient(back) if isinstance(back, float) else back.flow()

        return Outcome(values, pull)

    return sample


def _fresh(value: Value) -> Value:
    return replace(value, root=Root()) if isinstance(value, State) else value


@dataclass(frozen=True, eq=False)
class _Trial:
    """The same draws for values and for gradients, so that nothing is kept in between."""

    small: StandIns
    call: Call

    @property
    def runs(self) -> int:
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
        for tensor in tensors.values() if prepare else ():
            prepare(tensor)  # type: ignore[misc]
        return tensors, self.small.run(tensors)

    def _marks(self) -> frozenset[str]:
        op, values = self.call.node.op, self.call.values
        marks = set().union(*(v.marks for v in values.values() if isinstance(v, State)))
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
            marks |= {f"the complex numbers of {self.call.node.op} were taken for equal in their real and imaginary parts"}
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
        spread = max((v.spread for v in self.call.values.values() if isinstance(v, State)), default=0.0)
        return replace(state, spread=spread, marks=marks)

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

    def gradients(self, wanted: Sequence[Moments3 | None], values: Sequence[Value]) -> Found:
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
                alike = len(small.sizes) == len(value.sizes)
                out[name] = moments if alike else Moments3(*(_spread(m, small, value) for m in vars(moments).values()))
        return out

    def _pulled(
        self,
        seed: int,
        tensors: dict[str, torch.Tensor],
        results: Sequence[Any],
        wanted: Sequence[Moments3 | None],
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
                moments = Moments3(*(_spread(m, value, like) for m in vars(moments).values()))
            delta = cotangent(moments, like, noise(like.axes, generator))
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


def _spread(moments: Any, from_: State, to: State) -> Any:
    return np.full(len(to.sizes), from_.average(moments))


def _finite(x: torch.Tensor) -> tuple[torch.Tensor, float]:
    """With what is not finite replaced by the mean of the rest, and its share."""
    good = torch.isfinite(x)
    if bool(good.all()):
        return x, 0.0
    if not bool(good.any()):
        return x, 1.0
    return torch.where(good, x, x[good].mean()), 1 - int(good.sum()) / x.numel()


def _passed_through(call: Call, why: str) -> Outcome:
    """The moments of the largest signal, or of a weight, for want of better; with a mark that says so."""
    at = f" at {call.node.source}" if call.node.source else ""
    mark = f"{why}{at}; moments were passed through"
    states = {n: v for n, v in call.values.items() if isinstance(v, State)}
    weights = [v for v in call.values.values() if isinstance(v, Weight)]
    shapes = call.node.shapes or (call.node.shape,)
    if not states and not weights:
        return Outcome(tuple(Unknown(shape, call.node.dtype, usual(shape)) for shape in shapes))
    name = max(states, key=lambda n: math.prod(s for _, s in sum(states[n].axes, ())), default="")
    source = states[name].pooled() if name else _of(weights[0])
    out = tuple(_like(source, result_axes(call, index), mark) for index in range(len(shapes)))

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        if name and gradients[0]:
            x, back = states[name], total(gradients[0], out[0])
            yield name, Moments3(*(_spread(m, out[0], x) for m in vars(back).values())).flow()

    return Outcome(out, pull)


def _of(weight: Weight) -> State:
    share = weight.sizes / weight.sizes.sum()
    mean = float(share @ weight.mean)
    return gaussian((), [1], mean, float(share @ weight.second), mean**2, mean**2)


def _like(state: State, axes: Axes, mark: str) -> State:
    sizes = [max(count(axes, Kind.FEATURE), 1)]
    moments = (state.mean, state.second, state.across_positions, state.across_samples)
    return gaussian(axes, sizes, *moments, spread=state.spread, marks=state.marks | {mark})


def _key(fx: FxNode, call: Call) -> tuple[Any, ...]:
    """Of the operation, its plain arguments, and its tensors: which are the same, and what is known of them."""
    order: dict[int, int] = {}
    parts: list[Any] = []
    for name, value in call.values.items():
        if isinstance(value, State):
            which = [order.setdefault(id(x), len(order)) for x in (value.root, value)]
            moments = (value.mean, value.second, value.across_positions, value.across_samples)
            marginal = None if value.marginal is None else _shape_of(value)
            parts.append((name, *which, value.axes, tuple(value.sizes), _digits(*moments), marginal, value.marks))
        elif isinstance(value, Weight):
            parts.append((name, value.shape, tuple(value.sizes), _digits(value.mean, value.variance), value.structure))
        elif isinstance(value, Unknown):
            parts.append((name, value.shape, value.dtype, value.axes, value.bound))
        else:
            parts.append((name, id(value.array)))  # constants live as long as the sampler
    return (fx.target, repr(sorted(call.plain.items())), call.node.shapes, *parts)


def _digits(*arrays: Any, of: int = 3) -> tuple[float, ...]:
    return tuple(float(f"{x:.{of - 1}e}") for array in arrays for x in np.ravel(array))


def _shape_of(state: State) -> bytes:
    """The marginal without its mean and size, to a hundredth of a standard deviation."""
    assert state.marginal is not None
    std = np.sqrt(np.where(state.variance > 0, state.variance, 1.0))[:, None]
    shape = (state.marginal - state.mean[:, None]) / std
    return np.round(shape[:, 100:300:8], 2).tobytes()
