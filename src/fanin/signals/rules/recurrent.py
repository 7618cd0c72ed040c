"""Recurrent layers, stacked and in two directions; their weights are the same at every step.

Each is run as a smaller layer of the same kind, and so is its adjoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from fanin.signals.axes import Axes, Kind, axis, size_of
from fanin.signals.flow import Gradient
from fanin.signals.gradient import total
from fanin.signals.latent import Array
from fanin.signals.rules.recurrent_back import Source, back_through
from fanin.signals.rules.smaller_layer import MOMENTS, SmallerLayer, in_common
from fanin.signals.state import State, gaussian
from fanin.signals.taps import blended
from fanin.signals.values import Call, NoRule, Outcome, Pulled, Weight, WeightGradient

MARK: Final = "a recurrent layer of fewer units was run in its place"


def recurrent(call: Call) -> Outcome:
    """`lstm`, `gru`, `rnn_tanh` and `rnn_relu` over a sequence.

    References: Hochreiter & Schmidhuber 1997; Cho et al. 2014; Gilboa et al. 2019 (mean field of gated cells).
    """
    x = call.state("input")
    if len(x.axes) != 3:
        raise NoRule("the input has no axis of samples, or is packed")
    first = bool(call["batch_first"])
    x = _sequence(x, first)
    layers, ways = call["num_layers"], 2 if call["bidirectional"] else 1
    parameters = _by_layer(call, layers * ways)
    runs: list[list[SmallerLayer]] = []
    value, before = x, list[Array]()
    for layer in range(layers):
        own = list(enumerate(parameters[layer * ways : (layer + 1) * ways]))
        made = [
            SmallerLayer(call.node.op, value, p, first, before, back=way > 0, at=layer * ways + way) for way, p in own
        ]
        runs.append(made)
        value, before = _side_by_side([run.out for run in made]), _beside([run.hidden for run in made])
        p = call.get("dropout", 0.0)
        if p and call["train"] and layer < layers - 1:
            value, before = replace(value, second=value.second / (1 - p), marginal=None, latents=None), []
    states = [_stacked([run.last[i] for layer in runs for run in layer]) for i in range(len(call.node.shapes) - 1)]

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        sources = [*_of_all_steps(gradients[0], value_of[-1], ways), *_of_ends(gradients[1:], states, ways)]
        found, squares = back_through(runs, sources, max(x.samples, 1))
        for at, of_run in enumerate(squares):
            yield from zip(_names(parameters, at), map(WeightGradient, of_run.tolist()), strict=True)
        rows = len(call.state("input").sizes)
        yield "input", found.each(lambda m: np.full(rows, float(m[0]))).flow()

    value_of = [_side_by_side([run.out for run in layer]) for layer in runs]
    return Outcome((value.marked(MARK), *states), pull)


def _sequence(x: State, first: bool) -> State:
    """(sample, position, feature), or (position, sample, feature): whatever the axes were taken for."""
    kinds = (Kind.SAMPLE, Kind.POSITION) if first else (Kind.POSITION, Kind.SAMPLE)
    axes = (
        *(axis(kind, size_of(a)) for kind, a in zip(kinds, x.axes, strict=False)),
        axis(Kind.FEATURE, size_of(x.axes[2])),
    )
    if axes == x.axes:
        return x
    n = size_of(x.axes[2])
    moved = replace(x if x.features == n else x.pooled([n]), axes=axes, profile=None)
    if first or _swapped(x):
        return replace(moved, across_positions=x.across_samples, across_samples=x.across_samples, latents=None)
    return moved


def _swapped(x: State) -> bool:
    """Whether samples were taken for positions, and positions for samples."""
    return bool(x.axes[0]) and x.axes[0][0][0] is Kind.SAMPLE


def _by_layer(call: Call, runs: int) -> list[list[tuple[str, Weight]]]:
    found = call.listed("params")
    if not all(isinstance(w, Weight) for _, w in found) or len(found) % runs:
        raise NoRule("a weight is computed from other tensors")
    each = len(found) // runs
    return [found[i : i + each] for i in range(0, len(found), each)]  # type: ignore[misc]


def _names(parameters: list[list[tuple[str, Weight]]], at: int) -> list[str]:
    return [name for name, _ in parameters[at]]


def _beside(hidden: Sequence[list[Array]]) -> list[Array]:
    """Of all directions, draw by draw."""
    return [np.concatenate(of_draw, axis=2) for of_draw in zip(*hidden, strict=True)]


def _side_by_side(parts: list[State]) -> State:
    if len(parts) == 1:
        return parts[0]
    joined = {
        w: np.concatenate([getattr(s, w) for s in parts])
        for w in ("mean", "second", "across_positions", "across_samples")
    }
    sizes = np.concatenate([s.sizes for s in parts])
    axes = (*parts[0].axes[:2], axis(Kind.FEATURE, int(sizes.sum())))
    weights = [s.average(s.second) * s.features for s in parts]
    return gaussian(axes, sizes, *joined.values(), profile=blended([s.profile for s in parts], weights))


def _stacked(parts: list[State]) -> State:
    """(layers · directions, sample, feature): one segment for each layer and direction."""
    return _joined(parts, (axis(Kind.FEATURE, len(parts)), *parts[0].axes))


def _joined(parts: list[State], axes: Axes) -> State:
    sizes, mean, second, positions, samples = (
        np.concatenate([getattr(s, what) for s in parts]) for what in ("sizes", "mean", *MOMENTS)
    )
    return gaussian(axes, sizes, mean, second, positions, samples)


def _of_all_steps(gradient: Gradient, out: State, ways: int) -> list[Source]:
    """What comes back to h at all steps, to each direction its own."""
    if not gradient:
        return []
    seen = total(gradient, out)
    rows = len(seen.second) // ways
    parts = [
        replace(seen.each(lambda m, way=way: m[way * rows : (way + 1) * rows]), profile=seen.profile)  # type: ignore[misc]
        for way in range(ways)
    ]
    return [Source(parts, (), in_common(seen, out.positions))]


def _of_ends(gradients: Sequence[Gradient], states: Sequence[State], ways: int) -> list[Source]:
    """What comes back to the last h, and to the last c, of each layer and direction."""
    found = []
    for at, (gradient, state) in enumerate(zip(gradients, states, strict=True)):
        if not gradient:
            continue
        seen, runs = total(gradient, state), len(state.sizes)
        own = [seen.each(lambda m, run=run: m[run : run + 1]) for run in range(runs)]  # type: ignore[misc]
        ends = [own if at == other else [None] * runs for other in range(len(states))]
        found.append(Source([None] * ways, ends, in_common(seen, 1)))
    return found
