"""Two operands of one operation, element by element: as states of the same axes, and what comes back to each."""

from __future__ import annotations

from typing import Any

import numpy as np

from fanin.signals.axes import Axes, shape_of
from fanin.signals.broadcast import as_state, common_axes, gathered
from fanin.signals.flow import Gradient, scaled
from fanin.signals.gradient import GradientMoments, total
from fanin.signals.state import State
from fanin.signals.values import Call, Constant, NoRule, Outcome, Pulled, Weight, WeightGradient


def number_of(value: Any) -> float | None:
    """A scalar, whatever it is wrapped in."""
    if isinstance(value, (int, float)):
        return float(value)
    if (
        isinstance(value, Constant)
        and value.array.size
        and np.ptp(value.array) == 0
        and np.isfinite(value.array.flat[0])
    ):
        return float(value.array.flat[0])
    return None


def affine(call: Call, name: str, by: float, shift: float) -> Outcome:
    """By · x + shift."""
    x = call.state(name)
    out = x.scaled(by, shift).binned(x.bins and x.bins.scaled(by, shift))
    return Outcome((out,), lambda gradients: iter([(name, scaled(gradients[0], by))]))


def times(seen: GradientMoments, other: State) -> GradientMoments:
    """Of the product with an independent state."""
    return seen.scaled(other.second, other.across_positions, other.across_samples)


def covers(state: State, call: Call) -> bool:
    """Whether the other operand's broadcasting leaves this one's shape as it is."""
    return shape_of(state.axes) == tuple(call.node.shape)


def operands(call: Call, left: str, right: str) -> tuple[State, State, Axes]:
    """Both as states, and the axes of the result."""
    a, b = call[left], call[right]
    known = [v for v in (a, b) if isinstance(v, State)]
    if not known:
        raise NoRule("no operand is a signal")
    axes = common_axes(known, tuple(call.node.shape))
    x, y = (as_state(v, axes) for v in (a, b))
    axes = common_axes([x, y] if isinstance(a, State) else [y, x], tuple(call.node.shape))
    return x, y, axes


def pulled(call: Call, name: str, operand: State, part: State, gradient: Gradient) -> Pulled:
    """What comes back to an operand, through its repeats; of a parameter, only how large it is."""
    value = call[name]
    if isinstance(value, State):
        yield name, gathered(gradient, part, operand)
    elif isinstance(value, Weight):
        back = gathered(gradient, part, operand)
        seen = total(back, operand)
        yield name, WeightGradient(operand.average(seen.second))
