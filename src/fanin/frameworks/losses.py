"""A user's loss as every framework's adapter gives it: from arrays in the place of outputs to a number and its slopes.

The adapter differentiates by its framework's own means; what is drawn, averaged and concluded is here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np

from fanin.errors import BadInput
from fanin.frameworks.held import Array
from fanin.graph import Graph, Ref
from fanin.signals.flow import Gradient
from fanin.signals.gradient import GradientMoments
from fanin.signals.particles import cube, draw, moments_of
from fanin.signals.propagate import Propagated
from fanin.signals.state import State
from fanin.signals.values import Constant, Value, Weight

# Arrays for the graph's outputs → the loss, and its gradient at each; None where that does not enter.
Slopes: TypeAlias = Callable[[Sequence[Array]], tuple[float, Sequence[Array | None]]]
DRAWS: Final = 8  # of the outputs


def seeds_of(
    graph: Graph, found: Propagated, known: Mapping[str, Value], slopes: Slopes
) -> tuple[float, dict[str, Gradient]]:
    """Where the backward sweep begins: the moments of ∂loss/∂output, on outputs that are drawn as they are predicted.

    Returns:
        The mean of the loss over the draws, and a gradient for each output.

    Raises:
        BadInput: the loss raises, is not a scalar, or depends on no output.
    """
    values = [_value(ref, found, known) for ref in graph.outputs]
    losses, seen = [], list[list[GradientMoments]]([] for _ in values)
    for number in range(DRAWS):
        random = np.random.default_rng(number)
        loss, back = slopes([drawn(ref, v, random) for ref, v in zip(graph.outputs, values, strict=True)])
        losses.append(loss)
        for value, slope, of in zip(values, back, seen, strict=True):
            if slope is not None and isinstance(value, State):
                of.append(_moments(slope, value))
    if not any(seen):
        raise BadInput("The loss does not depend on the model's output: nothing can be differentiated.")
    named = zip(graph.outputs, seen, strict=True)
    return float(np.mean(losses)), {_name(ref): _mean(of).flow() for ref, of in named if of}


def drawn(ref: Ref, value: Value | None, random: np.random.Generator) -> Array:
    """One output, as it is predicted."""
    if isinstance(value, State):
        return np.asarray(draw(value, random), np.float32).reshape(ref.shape)
    if isinstance(value, Constant):
        return np.asarray(value.array)
    white = random.standard_normal(ref.shape).astype(np.float32)
    if isinstance(value, Weight):
        share = value.sizes / value.sizes.sum()
        return np.asarray(float(share @ value.mean) + math.sqrt(float(share @ value.variance)) * white)
    return white


def _value(ref: Ref, found: Propagated, known: Mapping[str, Value]) -> Value | None:
    if ref.name in known:
        return known[ref.name]
    return found.values[ref.name][ref.result] if ref.name in found.values else None


def _name(ref: Ref) -> str:
    return ref.name if ref.result == 0 else f"{ref.name}#{ref.result}"


def _moments(slope: Array, value: State) -> GradientMoments:
    """By segment; with one sample or position there is no other to be alike to."""
    _, second, positions, samples = moments_of(cube(np.asarray(slope, np.float64), value.axes), value.sizes)
    zero = 0 * second
    return GradientMoments(second, zero if positions is None else positions, zero if samples is None else samples)


def _mean(of: Sequence[GradientMoments]) -> GradientMoments:
    total = of[0]
    for one in of[1:]:
        total = total + one
    return total.times(1 / len(of))
