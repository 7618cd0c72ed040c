"""Several passes as one: over weights, since a prediction is an expectation over them, or over batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from fanin.errors import BadInput
from fanin.signals.circumstances import Chance
from fanin.signals.detail import AttentionDetail, Detail
from fanin.signals.frozen import replace
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
        parameters={
            path: _parameter([one.parameters[path] for one in passes], weights[path], arrived.get(path))
            for path in first.parameters
        },
        loss=_mean([one.loss for one in passes]),
        details=_each([one.details for one in passes], _detail),
        gradient_details=_each([one.gradient_details for one in passes], _detail),
        attention=_each([one.attention for one in passes], _attention),
    )


def averaged_chance(found: Sequence[Chance | None]) -> Chance | None:
    """Of the same model and loss on several batches; None where one has none."""
    known = [one for one in found if one is not None]
    if not known or len(known) < len(found):
        return None
    return replace(
        known[0],
        loss=_mean([one.loss for one in known]),
        first=_mean([one.first for one in known]),
        spread=_optional([one.spread for one in known]),
    )


def _parameter(seen: Sequence[ParameterSignal], value: Moments, gradient: Moments | None) -> ParameterSignal:
    """What is said of rows holds in every pass, or is not said."""
    first = seen[0]
    return ParameterSignal(
        value,
        gradient,
        all(one.same_rows for one in seen),
        all(one.same_gradient_rows for one in seen),
        first.distinct_rows if all(one.distinct_rows == first.distinct_rows for one in seen) else None,
        first.digest if all(one.digest == first.digest for one in seen) else None,
    )


T = TypeVar("T")


def _each(found: Sequence[Mapping[str, T]], of: Callable[[Sequence[T]], T]) -> dict[str, T]:
    """By name, of what every pass has."""
    return {name: of([one[name] for one in found]) for name in found[0] if all(name in one for one in found)}


def _detail(seen: Sequence[Detail]) -> Detail:
    """A unit is dead in all passes if it is in the one with the fewest; the histogram is the first's."""
    dead = [one.dead for one in seen if one.dead is not None]
    return replace(
        seen[0],
        largest=max(one.largest for one in seen),
        smallest=min(one.smallest for one in seen),
        magnitudes=tuple(_mean(shares) for shares in zip(*(one.magnitudes for one in seen), strict=True)),
        dead=min(dead) if len(dead) == len(seen) else None,
        spread=_optional([one.spread for one in seen]),
    )


def _attention(seen: Sequence[AttentionDetail]) -> AttentionDetail:
    return AttentionDetail(
        _mean([one.keys for one in seen]),
        math.sqrt(_mean([one.logit_std**2 for one in seen])),
        _mean([one.largest for one in seen]),
        _mean([one.entropy for one in seen]),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else sum(values) / len(values)


def _geometric(values: Sequence[float]) -> float:
    return math.exp(_mean([math.log(v) for v in values])) if all(v > 0 for v in values) else 0.0


def _optional(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return _mean(known) if len(known) == len(values) else None
