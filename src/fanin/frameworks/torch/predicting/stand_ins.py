"""Tensors that stand in for the arguments of one operation, small enough to be computed with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from torch.fx.node import Node as FxNode

from fanin.frameworks.torch.predicting.structured import Noise, drawn, noise
from fanin.frameworks.torch.tracing.operations import arguments_of
from fanin.initializers import Structure
from fanin.signals import latent
from fanin.signals.axes import Axes, Kind, axes_of, axis, count, kinds_of, reshaped, shape_of, size_of, usual
from fanin.signals.state import State
from fanin.signals.values import Call, Constant, Unknown, Value, Weight

ENOUGH: Final = 1 << 19  # elements of the largest tensor: beyond, samples are left out
LARGEST: Final = 1 << 22  # beyond, nothing is run
FEW_SAMPLES: Final = 4  # are kept, to see how alike they are
BATCHED: Final = 4  # the rank from which leading axes of features count matrices or maps that do not meet

Cut = dict[int, int]  # axis, counted from the last one as −1 → the size that is left of it


class TooLarge(Exception):
    """How many elements there would be."""


@dataclass(frozen=True, eq=False)
class StandIns:
    """One call with smaller arguments.

    Attributes:
        values: by argument; states of fewer samples.
        same: the first argument that is the same value.
        shapes: of the results.
        cut: what was left out.
    """

    fx: FxNode
    values: Mapping[str, Value]
    same: Mapping[str, str]
    shapes: tuple[tuple[int, ...], ...]
    cut: Cut

    def draw(self, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """A tensor for each; states of one root are functions of one noise, and one state is one tensor."""
        noises: dict[tuple[Any, ...], Noise] = {}
        found: dict[str, torch.Tensor] = {}
        for name, value in self.values.items():
            if (first := self.same[name]) != name:
                found[name] = found[first]
            elif isinstance(value, State):
                key = (id(value.root), *(count(value.axes, kind) for kind in Kind))
                if key not in noises:
                    noises[key] = noise(value.axes, generator)
                found[name] = _cast(drawn(value, noises[key]), _dtype(self.fx, name))
            else:
                found[name] = other(value, generator)
        return found

    def run(self, tensors: Mapping[str, torch.Tensor]) -> tuple[Any, ...]:
        """The operation's results."""
        return run(self.fx, tensors)

    @property
    def share(self) -> float:
        """Of the elements of the largest result, those that are left."""
        whole = [s for s in self.shapes if len(s) >= max((-d for d in self.cut), default=0)]
        return math.prod(n / whole[0][d] for d, n in self.cut.items()) if self.cut and whole else 1.0


def stand_ins(fx: FxNode, call: Call) -> StandIns:
    """The arguments as they are or, where they are large, with fewer samples or batched features.

    Raises:
        TooLarge: even so.
    """
    shapes = call.node.shapes or (call.node.shape,)
    values = {name: _whole(value) for name, value in call.values.items()}
    cut: Cut = {}
    for dim, least in _can_be_cut(call):
        largest = _largest(values, shapes, cut)
        if largest <= ENOUGH:
            break
        size = shapes[0][dim]
        wanted = max(least, min(size, size * ENOUGH // largest))
        if wanted < size and _holds(fx, _cut_values(values, cut | {dim: wanted}), shapes, cut | {dim: wanted}):
            cut = cut | {dim: wanted}
    if (largest := _largest(values, shapes, cut)) > LARGEST:
        raise TooLarge(f"{largest:.1e} elements")
    first: dict[int, str] = {}
    same = {name: first.setdefault(id(value), name) for name, value in call.values.items()}
    return StandIns(fx, _cut_values(values, cut), same, shapes, cut)


def _whole(value: Value) -> Value:
    """With as many features as its axes count."""
    if isinstance(value, State) and value.features != (features := max(count(value.axes, Kind.FEATURE), 1)):
        return value.pooled([features])
    return value


def _can_be_cut(call: Call) -> list[tuple[int, int]]:
    """Axes that the results share with the largest state, and the least that must be left: samples first."""
    states = [v for v in call.values.values() if isinstance(v, State) and v.axes]
    if not states:
        return []
    largest = max(states, key=lambda s: math.prod(shape_of(s.axes)))
    rank, shape = len(largest.axes), call.node.shape
    acts_on = call.plain.get("dim", call.plain.get("dims", ()))
    if len(shape) != rank or acts_on is None:
        return []
    named = {d % rank for d in (acts_on if isinstance(acts_on, Sequence) else (acts_on,)) if isinstance(d, int)}
    alike = [d for d in range(rank) if size_of(largest.axes[d]) == shape[d] > 1 and d not in named]
    samples = [(d - rank, FEW_SAMPLES) for d in alike if kinds_of(largest.axes[d]) == {Kind.SAMPLE}]
    batched = [
        (d - rank, 1)
        for d in alike
        if rank >= BATCHED and d < rank - 2 and kinds_of(largest.axes[d]) in ({Kind.FEATURE}, {Kind.SAMPLE})
    ]
    return samples + batched


def _largest(values: Mapping[str, Value], shapes: tuple[tuple[int, ...], ...], cut: Cut) -> int:
    of = [_shape(v) for v in _cut_values(values, cut).values()]
    return max((math.prod(s) for s in (*of, *(_cut_shape(s, cut, s) for s in shapes))), default=0)


def _shape(value: Value) -> tuple[int, ...]:
    if isinstance(value, State):
        return shape_of(value.axes)
    return tuple(value.array.shape) if isinstance(value, Constant) else value.shape


def _cut_shape(shape: tuple[int, ...], cut: Cut, whole: tuple[int, ...]) -> tuple[int, ...]:
    out = list(shape)
    for dim, size in cut.items():
        if len(shape) >= -dim and whole[dim] > 1:
            out[dim] = min(size, out[dim])
    return tuple(out)


def _cut_values(values: Mapping[str, Value], cut: Cut) -> dict[str, Value]:
    return {name: _cut_value(value, cut) for name, value in values.items()}


def _cut_value(value: Value, cut: Cut) -> Value:
    here = {d: n for d, n in cut.items() if not isinstance(value, Weight) and len(_shape(value)) >= -d}
    here = {d: n for d, n in here.items() if _shape(value)[d] > n}
    if not here or isinstance(value, Weight):
        return value
    if isinstance(value, Constant):
        index = [slice(None)] * value.array.ndim
        for d, n in here.items():
            index[d] = slice(n)
        return Constant(value.array[tuple(index)], value.own)
    axes = list(value.axes)
    for d, n in here.items():
        axes[d] = axis(next(iter(kinds_of(axes[d])), Kind.SAMPLE), n)
    if isinstance(value, Unknown):
        return replace(value, shape=shape_of(tuple(axes)), axes=tuple(axes))
    features = max(count(axes, Kind.FEATURE), 1)
    out = value if features == value.features else value.pooled([features])
    return replace(out, axes=tuple(axes))


def _holds(fx: FxNode, values: Mapping[str, Value], shapes: tuple[tuple[int, ...], ...], cut: Cut) -> bool:
    """Whether the operation takes the smaller arguments, and gives what is left of its results."""
    tensors = {
        name: torch.empty(_shape(value), dtype=_dtype(fx, name) or torch.float32, device="meta")
        for name, value in values.items()
    }
    try:
        results = run(fx, tensors, "meta")
    except Exception:  # noqa: BLE001  # a question, not a call: whatever it raises, the answer is no
        return False
    found = [tuple(r.shape) if isinstance(r, torch.Tensor) else () for r in results]
    return found == [_cut_shape(s, cut, s) for s in shapes]


def run(fx: FxNode, tensors: Mapping[str, torch.Tensor], device: str = "cpu") -> tuple[Any, ...]:
    """Call the operation's own function, with tensors in place of the nodes of the graph."""
    arguments: dict[str, Any] = {}
    for name, given in arguments_of(fx).items():
        if isinstance(given, FxNode):
            arguments[name] = tensors[name]
        elif isinstance(given, (list, tuple)) and any(isinstance(g, FxNode) for g in given):
            arguments[name] = [tensors[f"{name}.{i}"] if isinstance(g, FxNode) else g for i, g in enumerate(given)]
        else:
            arguments[name] = torch.device(device) if isinstance(given, torch.device) else given
    positional = [a.name for a in fx.target._schema.arguments if not a.kwarg_only]  # type: ignore[union-attr]
    args = [arguments.pop(name) for name in positional if name in arguments]
    result = fx.target(*args, **arguments)  # type: ignore[operator]
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def _dtype(fx: FxNode, name: str) -> torch.dtype | None:
    """That an argument has in the program; what is narrower than float32 is computed in that."""
    base, _, index = name.partition(".")
    given = arguments_of(fx).get(base)
    node = given[int(index)] if index and isinstance(given, (list, tuple)) else given
    value = node.meta.get("val") if isinstance(node, FxNode) else None
    value = value[0] if isinstance(value, (list, tuple)) and value else value
    if not isinstance(value, torch.Tensor):
        return None
    return torch.float32 if value.dtype.is_floating_point else value.dtype


def _cast(x: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    """As the operation takes it: a state of truth values is one of zeros and ones, a complex one of its real parts."""
    if dtype is None or dtype == x.dtype:
        return x
    if dtype is torch.bool:
        return x > 0.5
    return torch.complex(x, x) / math.sqrt(2) if dtype.is_complex else x.round().to(dtype)


def other(value: Value, generator: torch.Generator) -> torch.Tensor:
    """What is no signal: a known tensor, a weight that is drawn, or anything of the right type."""
    if isinstance(value, Constant):
        x = torch.tensor(value.array)
        return x.float() if x.is_floating_point() else x
    if isinstance(value, Weight):
        return _of_weight(value, generator)
    assert isinstance(value, Unknown)
    dtype = getattr(torch, value.dtype, torch.float32)
    if dtype is torch.bool:
        return torch.ones(value.shape, dtype=dtype)
    if not dtype.is_floating_point and not dtype.is_complex:
        return torch.randint(0, value.bound or 2, value.shape, generator=generator).to(dtype)
    return torch.randn(value.shape, generator=generator)


def _of_weight(weight: Weight, generator: torch.Generator) -> torch.Tensor:
    if weight.marginal is not None and len(weight.marginal) == 1:
        z = torch.randn(weight.shape, generator=generator).numpy()
        return torch.from_numpy(np.interp(z, latent.NODES, weight.marginal[0])).float().reshape(weight.shape)
    rows = (len(weight.shape) and weight.shape[0]) or 1
    of_row = np.searchsorted(np.cumsum(weight.sizes), np.arange(rows), side="right").clip(max=len(weight.sizes) - 1)
    mean, std = (
        torch.from_numpy(x[of_row]).float().reshape(-1, *[1] * max(len(weight.shape) - 1, 0))
        for x in (weight.mean, np.sqrt(weight.variance))
    )
    return (mean + std * torch.randn((rows, *weight.shape[1:]), generator=generator)).reshape(weight.shape)


def simplified(value: Value) -> bool:
    """Whether a weight's elements hang together in a way that its stand-in does not show."""
    return (
        isinstance(value, Weight) and value.structure is not Structure.INDEPENDENT and bool((value.variance > 0).any())
    )


def result_axes(call: Call, index: int) -> Axes:
    """What the axes of a result count: each as the axis of a state that has its place and size."""
    shape = (call.node.shapes or (call.node.shape,))[index]
    states = [v for v in call.values.values() if isinstance(v, State) and v.axes]
    if call.node.op in ("matmul", "bmm", "mm") and len(states) == 2 and len(states[1].axes) == len(shape) > 1:
        return (*_matched(shape, states[:1])[:-1], states[1].axes[-1])
    return _matched(shape, states)


def _matched(shape: tuple[int, ...], states: list[State]) -> Axes:
    same_rank = [s.axes for s in states if len(s.axes) == len(shape)]
    if same_rank:
        return tuple(_one(size, [axes[at] for axes in same_rank]) for at, size in enumerate(shape))
    for state in states:
        if (axes := reshaped(state.axes, shape)) is not None:
            return axes
        if (kept := _subsequence(shape, state.axes)) is not None:
            return kept
    if not states and len(shape) == 2:  # rows of a table
        return axes_of(shape, (Kind.POSITION, Kind.FEATURE))
    return usual(shape)


def _one(size: int, candidates: list[tuple[tuple[Kind, int], ...]]) -> tuple[tuple[Kind, int], ...]:
    for known in candidates:
        if size_of(known) == size:
            return known
    kinds = kinds_of(candidates[0]) or {Kind.POSITION}
    return axis(Kind.FEATURE if Kind.FEATURE in kinds else min(kinds, key=list(Kind).index), size)


def _subsequence(shape: tuple[int, ...], axes: Axes) -> Axes | None:
    """The axes that a reduction has left."""
    kept, rest = [], list(axes)
    for size in shape:
        while rest and size_of(rest[0]) != size:
            rest.pop(0)
        if not rest:
            return None
        kept.append(rest.pop(0))
    return tuple(kept)
