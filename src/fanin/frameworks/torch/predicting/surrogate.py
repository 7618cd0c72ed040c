"""Run an operation for real on tensors that are distributed as its arguments are.

For operations without a rule, and where a rule does not hold. What comes of it is as exact as some ten thousand numbers
are; the node is listed in `Signals.sampled`. What is made of the model's own tensors alone is run as a whole, and is a
weight. A pointwise operation on functions of one latent is not sampled but composed at the latent's nodes. What cannot
be run at all is passed through, with a mark that says why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch.fx.node import Node as FxNode

from fanin.frameworks.torch.model.failure import first_line
from fanin.frameworks.torch.model.state import unchanged_randomness
from fanin.frameworks.torch.predicting.composed import composed
from fanin.frameworks.torch.predicting.made import NOTHING, OfParameters, Stored
from fanin.frameworks.torch.predicting.stand_ins import TooLarge, result_axes, stand_ins
from fanin.frameworks.torch.predicting.trial import Trial, seen_alike
from fanin.frameworks.torch.tracing.trace import Traced
from fanin.signals.axes import Axes, Kind, count, shape_of, usual
from fanin.signals.distribution import Root
from fanin.signals.flow import Gradient
from fanin.signals.gradient import total
from fanin.signals.propagate import Rule
from fanin.signals.state import State, gaussian
from fanin.signals.values import Call, Outcome, Pulled, Unknown, Value, Weight, WeightGradient


def sampler(traced: Traced, stored: Stored = NOTHING) -> Rule:
    """A rule for every operation of the program. Calls that are alike to three digits share what was found.

    Args:
        stored: what the model holds.
    """
    made = OfParameters(traced, stored)
    nodes = {fx.name: fx for fx in traced.program.graph.nodes}
    cache: dict[Any, Any] = {}

    def sample(call: Call) -> Outcome:
        fx = nodes[call.node.name]
        exact = composed(fx, call)
        if exact is not None:
            return exact
        try:
            if not hasattr(fx.target, "_schema"):
                raise TypeError("its arguments are not known")
            if made.holds(fx):
                return made.outcome(fx, call)
            trial = Trial(stand_ins(fx, call), call)
            key = _key(fx, call)
            if key not in cache:
                with unchanged_randomness():
                    cache[key] = trial.values()
        except TooLarge as size:
            return _passed_through(call, f"{call.node.op} was not run on a sample, which would have {size}")
        except Exception as error:  # noqa: BLE001  # whatever an operation raises is told in the mark
            why = f"{type(error).__name__}: {first_line(error)}"
            return _passed_through(call, f"{call.node.op} could not be run: {why}")
        values = tuple(_fresh(value) for value in cache[key])

        def pull(gradients: Sequence[Gradient]) -> Pulled:
            wanted = [
                total(gradient, value) if gradient and isinstance(value, State) else None
                for gradient, value in zip(gradients, values, strict=True)
            ]
            pulled = (
                key,
                "pull",
                *(None if w is None else _digits(w.second, w.across_positions, w.across_samples) for w in wanted),
            )
            if pulled not in cache:
                with unchanged_randomness():
                    cache[pulled] = trial.gradients(wanted, values)
            for name, back in cache[pulled].items():
                yield name, WeightGradient(back) if isinstance(back, float) else back.flow()

        return Outcome(values, pull)

    return sample


def _fresh(value: Value) -> Value:
    return replace(value, root=Root()) if isinstance(value, State) else value


def _passed_through(call: Call, why: str) -> Outcome:
    """The moments of the largest signal, or of a weight, for want of better; with a mark that says so."""
    at = f" at {call.node.source}" if call.node.source else ""
    mark = f"{why}{at}; moments were passed through"
    states = {n: v for n, v in call.values.items() if isinstance(v, State)}
    weights = [v for v in call.values.values() if isinstance(v, Weight)]
    shapes = call.node.shapes or (call.node.shape,)
    if not states and not weights:
        return Outcome(tuple(Unknown(shape, call.node.dtype, usual(shape)) for shape in shapes))
    name = max(states, key=lambda n: math.prod(shape_of(states[n].axes)), default="")
    source = states[name].pooled() if name else _of(weights[0])
    out = tuple(_like(source, result_axes(call, index), mark) for index in range(len(shapes)))

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        if name and gradients[0]:
            x, back = states[name], total(gradients[0], out[0])
            yield name, seen_alike(back, out[0], x).flow()

    return Outcome(out, pull)


def _of(weight: Weight) -> State:
    share = weight.sizes / weight.sizes.sum()
    mean = float(share @ weight.mean)
    return gaussian((), [1], mean, float(share @ weight.second), mean**2, mean**2)


def _like(state: State, axes: Axes, mark: str) -> State:
    sizes = [max(count(axes, Kind.FEATURE), 1)]
    moments = (state.mean, state.second, state.across_positions, state.across_samples)
    return gaussian(axes, sizes, *moments, draws=state.draws, marks=state.marks | {mark})


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
