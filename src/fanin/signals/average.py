"""Several passes as one: what a prediction, which is an expectation over weights and inputs, is compared with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from fanin.errors import BadInput
from fanin.signals.model import Moments, ParameterSignal, Signals

NOTHING = Moments(0.0, 0.0, zeros=1.0)  # of a gradient that does not arrive in one of the passes


def averaged(passes: Sequence[Signals], *, of_logarithms: bool = False) -> Signals:
    """The mean of each moment over passes of one graph with other weights or inputs.

    Args:
        of_logarithms: the second moments are exp E ln q instead of E q. In deep nets without norms q is nearly
            lognormal over draws of the weights, and few draws carry its mean: the typical one is exp E ln q.

    Raises:
        BadInput: no passes, or passes of different graphs.
    """
    if not passes:
        raise BadInput("There is nothing to average: give at least one pass.")
    first = passes[0]
    if any(one.values.keys() != first.values.keys() for one in passes):
        raise BadInput("The passes are of different graphs. Average passes of one traced model.")
    mean_second = _geometric if of_logarithms else _mean

    def one(moments: Sequence[Moments]) -> Moments:
        return Moments(
            _mean([m.mean for m in moments]),
            mean_second([m.second_moment for m in moments]),
            _mean([m.zeros for m in moments]),
            _mean([m.non_finite for m in moments]),
            _optional([m.saturated for m in moments]),
            _optional([m.across_positions for m in moments]),
            _optional([m.across_samples for m in moments]),
        )

    def all_of(of: Callable[[Signals], dict[str, Moments]]) -> dict[str, Moments]:
        found = [of(each) for each in passes]
        names = dict.fromkeys(name for f in found for name in f)
        return {name: one([f.get(name, NOTHING) for f in found]) for name in names}

    weights = all_of(lambda s: {path: p.value for path, p in s.parameters.items()})
    arrived = all_of(lambda s: {path: p.gradient for path, p in s.parameters.items() if p.gradient})
    return replace(
        first,
        values=all_of(lambda s: dict(s.values)),
        gradients=all_of(lambda s: dict(s.gradients)),
        parameters={path: ParameterSignal(weights[path], arrived.get(path)) for path in first.parameters},
        loss=_mean([one.loss for one in passes]),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else sum(values) / len(values)


def _geometric(values: Sequence[float]) -> float:
    return math.exp(_mean([math.log(v) for v in values])) if all(v > 0 for v in values) else 0.0


def _optional(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return _mean(known) if len(known) == len(values) else None
