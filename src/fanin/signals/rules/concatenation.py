"""Parts that are put together along an axis: segments side by side, or one population of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from fanin.signals.axes import Axes, Kind, axis, count, kinds_of, shape_of, size_of
from fanin.signals.broadcast import as_state, expanded, gathered
from fanin.signals.draws import together
from fanin.signals.flow import Gradient, chosen
from fanin.signals.frozen import replace
from fanin.signals.gradient import total
from fanin.signals.rules.views_bins import everywhere, one_after_another, parts_of, side_by_side
from fanin.signals.state import State, gaussian
from fanin.signals.taps import blended
from fanin.signals.values import Call, NoRule, Outcome, Pulled, Value, Weight, WeightGradient

UNLIKE: Final = 4.0  # second moments that differ by more are not of one kind
UNLIKE_MARK: Final = "positions of different kinds, as parts of a map with two axes, are taken for one population"


def concatenate(call: Call) -> Outcome:
    """`cat`: segments side by side, or one population of positions or samples."""
    named = call.listed("tensors")
    dim = call.get("dim", 0)
    parts = [(name, value) for name, value in named if isinstance(value, State)]
    if len(parts) != len(named):
        return _with_others(call, named, dim)
    first = parts[0][1]
    dim %= len(first.axes)
    kinds = kinds_of(first.axes[dim]) or kinds_of(parts[-1][1].axes[dim]) or {Kind.FEATURE}
    whole = sum(size_of(s.axes[dim]) for _, s in parts)
    kind = Kind.FEATURE if Kind.FEATURE in kinds else next(iter(kinds))
    axes = (*first.axes[:dim], axis(kind, whole), *first.axes[dim + 1 :])
    if kind is Kind.FEATURE and count(first.axes[:dim], Kind.FEATURE) == 1:
        return _side_by_side(parts, axes)
    return one_population(parts, axes, dim, kind)


def _with_others(call: Call, named: list[tuple[str, Value]], dim: int) -> Outcome:
    """Parameters (a class token) and known tensors among the parts; one for all samples is as many times there."""
    like = next((v for _, v in named if isinstance(v, State)), None)
    if like is None:
        raise NoRule("no part is a signal")
    parts = {name: value if isinstance(value, State) else as_state(value, like.axes) for name, value in named}
    whole = {name: _repeated_as(part, like.axes, dim) for name, part in parts.items()}
    outcome = concatenate(Call(call.node, whole, call.plain))

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        for name, back in outcome.pull(gradients):
            if isinstance(call[name], Weight) and not isinstance(back, WeightGradient):
                own = gathered(back, whole[name], parts[name]) if whole[name] is not parts[name] else back
                yield name, WeightGradient(parts[name].average(total(own, parts[name]).second))
            else:
                yield name, back

    return Outcome(outcome.values, pull)


def _repeated_as(part: State, axes: Axes, dim: int) -> State:
    """With the axes of the others, but for the one along which they are joined; as it is where it has them."""
    at = dim % len(axes)
    if len(part.axes) != len(axes):
        return part
    wanted = (*axes[:at], part.axes[at], *axes[at + 1 :])
    return part if shape_of(part.axes) == shape_of(wanted) else expanded(part, wanted)


def _side_by_side(parts: list[tuple[str, State]], axes: Axes) -> Outcome:
    def joined(what: str) -> Any:
        return np.concatenate([getattr(s, what) for _, s in parts])

    sizes = joined("sizes")
    shares = [s.features / sizes.sum() for _, s in parts]
    weights = np.array([w * s.average(s.second) for w, (_, s) in zip(shares, parts, strict=True)])
    of_second = (weights / (weights.sum() or 1.0)).tolist()
    out = gaussian(
        axes,
        sizes,
        *(joined(x) for x in ("mean", "second", "across_positions", "across_samples")),
        draws=together([(w, s.draws) for w, (_, s) in zip(of_second, parts, strict=True)]),
        profile=blended([s.profile for _, s in parts], weights.tolist()),
        marks=frozenset().union(*(s.marks for _, s in parts)),
    )
    if any(s.marginal is not None for _, s in parts):
        out = replace(out, marginal=joined("values"))
    out = out.binned(side_by_side([s for _, s in parts], shares))

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        at = 0
        for name, s in parts:
            rows = np.arange(at, at + len(s.sizes))
            at += len(s.sizes)
            yield name, chosen(gradients[0], rows)

    return Outcome((out,), pull)


def one_population(parts: list[tuple[str, State]], axes: Axes, dim: int, kind: Kind) -> Outcome:
    """Parts one after the other along an axis of samples or positions, taken for one population of all."""
    sizes = np.array([size_of(s.axes[dim]) for _, s in parts], dtype=np.float64)
    w = sizes / sizes.sum()
    same_rows = len({tuple(s.sizes) for _, s in parts}) == 1
    states = [s if same_rows else s.pooled() for _, s in parts]

    def mixed(what: str) -> Any:
        return sum(share * getattr(s, what) for share, s in zip(w, states, strict=True))

    mean = mixed("mean")
    n = sizes.sum()
    different = sizes * (sizes - 1) / max(n * (n - 1), 1)  # of all pairs of different entries, those within each part

    def pairs(what: str, shares: Any) -> Any:
        """Within a part as alike as they were; of two parts, only as their means are."""
        rest = mean**2 - sum(share**2 * s.mean**2 for share, s in zip(w, states, strict=True))
        rest = rest * ((1 - shares.sum()) / max(1 - float(w @ w), 1e-12))
        return sum(share * getattr(s, what) for share, s in zip(shares, states, strict=True)) + rest

    positions = pairs("across_positions", different) if kind is Kind.POSITION else mixed("across_positions")
    samples = mixed("across_samples")
    if kind is not Kind.FEATURE:
        samples = pairs("across_samples", w**2 if kind is Kind.POSITION else different)
    seconds = [s.average(s.second) for s in states]
    bins = one_after_another(states, dim) if kind is Kind.POSITION else None
    unlike = kind is not Kind.FEATURE and bins is None and max(seconds) > UNLIKE * min(seconds)
    out = gaussian(
        axes,
        states[0].sizes if kind is not Kind.FEATURE else [count(axes, Kind.FEATURE)],
        mean,
        mixed("second"),
        positions,
        samples,
        draws=max((s.draws for s in states), key=lambda d: d.variance),
        marks=frozenset().union(*(s.marks for s in states), {UNLIKE_MARK} if unlike else ()),
    ).binned(side_by_side(states, w.tolist()) if kind is Kind.FEATURE else bins)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        if bins is not None:
            yield from zip([name for name, _ in parts], parts_of(seen, out, bins, [s for _, s in parts]), strict=True)
            return
        for name, s in parts:
            yield name, (seen if len(s.sizes) == len(out.sizes) else everywhere(seen, out, s)).flow()

    return Outcome((out,), pull)
