"""Look-ups in a table of parameters: two positions are alike where they read the same row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fanin.signals.axes import Axes, Kind, axes_of, axis, count, kinds_of
from fanin.signals.flow import Gradient
from fanin.signals.gradient import total
from fanin.signals.rules import resampling
from fanin.signals.state import State, gaussian
from fanin.signals.values import Call, Constant, NoRule, Outcome, Pulled, Unknown, Value, Weight, WeightGradient

UNIFORM: Final = "indices are taken for uniform"


@dataclass(frozen=True)
class Repeats:
    """How often the same row is read.

    Attributes:
        share: of indices that count, not being padding.
        positions: of pairs of positions of one sample, those with the same row.
        samples: of pairs in two samples, any positions, likewise.
    """

    share: float
    positions: float
    samples: float

    @classmethod
    def of(cls, ids: NDArray[Any], padding: int | None = None) -> Repeats:
        """Counted; `ids` has shape (samples, positions)."""
        b, p = ids.shape
        counts = ids != padding if padding is not None else np.ones_like(ids, dtype=bool)
        of_sample = (np.arange(b)[:, None] * (int(ids.max(initial=0)) + 1) + ids)[counts]
        within = float((np.unique(of_sample, return_counts=True)[1].astype(np.float64) ** 2).sum())
        overall = float((np.unique(ids[counts], return_counts=True)[1].astype(np.float64) ** 2).sum())
        n = float(counts.sum())
        return cls(
            n / ids.size,
            (within - n) / (b * p * (p - 1)) if p > 1 else 0.0,
            (overall - within) / (b * (b - 1) * p**2) if b > 1 else 0.0,
        )


def embedding(call: Call) -> Outcome:
    """Row v of a table for each index v: q = E w², k = P(same row) E w².

    Backward: E (∂w)² = 1/V Σ of δ δ' over all pairs of indices that read the same row.
    """
    weight, ids = call["weight"], call["indices"]
    if not isinstance(weight, Weight) or not isinstance(ids, (Constant, Unknown)):
        raise NoRule("the table is no parameter, or the indices are a signal")
    padding = call.get("padding_idx", -1)
    return _looked_up("weight", weight, ids, padding if padding >= 0 else None)


def index(call: Call) -> Outcome:
    """`table[ids]`, as of biases by relative position: a look-up of rows."""
    weight, found = call["self"], call.listed("indices")
    if not isinstance(weight, Weight) or len(found) != 1 or len(call.node.shape) < len(weight.shape):
        return resampling.index(call)
    ids = found[0][1]
    if not isinstance(ids, (Constant, Unknown)) or (isinstance(ids, Constant) and ids.array.dtype == bool):
        raise NoRule("the indices are no known numbers")
    return _looked_up("self", weight, ids, None)


def _looked_up(name: str, weight: Weight, ids: Constant | Unknown, padding: int | None) -> Outcome:
    axes = _axes_of(ids)
    repeats = _repeats(ids, axes, padding, weight.shape[0])
    rest = axes_of(weight.shape[1:], [Kind.FEATURE] * (len(weight.shape) - 1))
    out = _state(weight, repeats, (*axes, *rest), isinstance(ids, Unknown))

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        g, h, s = (out.average(m) for m in (seen.second, seen.across_positions, seen.across_samples))
        n, p = out.samples * out.positions, out.positions
        squares = repeats.share * g + (p - 1) * repeats.positions * h + (n - p) * repeats.samples * s
        yield name, WeightGradient(max(n * squares / weight.shape[0], 0.0))

    return Outcome((out,), pull)


def _state(weight: Weight, repeats: Repeats, axes: Axes, guessed: bool) -> State:
    share = weight.sizes / weight.sizes.sum()
    mean, second = float(share @ weight.mean), float(share @ weight.second)
    out = gaussian(
        axes,
        [max(count(axes, Kind.FEATURE), 1)],
        repeats.share * mean,
        repeats.share * second,
        *(same * second + max(repeats.share**2 - same, 0.0) * mean**2 for same in (repeats.positions, repeats.samples)),
    )
    return out.marked(UNIFORM) if guessed else out


def _repeats(ids: Value, axes: Axes, padding: int | None, rows: int) -> Repeats:
    if not isinstance(ids, Constant):
        return Repeats(1.0, 1 / rows, 1 / rows)
    order = [at for kind in (Kind.SAMPLE, Kind.POSITION) for at, a in enumerate(axes) if kind in kinds_of(a)]
    order += [at for at in range(len(axes)) if at not in order]
    return Repeats.of(ids.array.transpose(order).reshape(count(axes, Kind.SAMPLE), -1), padding)


def _axes_of(ids: Constant | Unknown) -> Axes:
    """(sample, position, …); but indices that count up, or depend on i − j alone, are positions throughout.

    So is a list that the model keeps, as of the relative positions in a window: none of a user's samples is in it.
    """
    if isinstance(ids, Unknown):
        return tuple(axis(Kind.SAMPLE if at == 0 else Kind.POSITION, n) for at, n in enumerate(ids.shape))
    x = ids.array
    kinds = [Kind.POSITION] * x.ndim
    alike = (ids.own or _counts_up(x)) if x.ndim == 1 else x.ndim == 2 and _of_difference(x)
    if x.ndim and not alike:
        kinds[0] = Kind.SAMPLE
    return axes_of(x.shape, kinds)


def _counts_up(x: NDArray[Any]) -> bool:
    return bool((np.diff(x) > 0).all())


def _of_difference(x: NDArray[Any]) -> bool:
    """Of the two indices: constant along every diagonal, and not everywhere."""
    return min(x.shape) > 1 and bool((x[1:, 1:] == x[:-1, :-1]).all()) and bool(np.ptp(x) > 0)


def embedding_bag(call: Call) -> Outcome:
    """Sums or means of L rows: q = L (1 + (L − 1) P(same row)) E w², over L² for means."""
    weight, ids = call["weight"], call["indices"]
    bags = call.node.shape[0]
    if (
        not isinstance(weight, Weight)
        or not isinstance(ids, Constant)
        or call.get("mode", 0) > 1
        or ids.array.size % bags
    ):
        raise NoRule("the bags are of unknown or unequal sizes, or of maxima")
    length = ids.array.size // bags
    repeats = Repeats.of(ids.array.reshape(bags, length))
    by = 1 / length if call.get("mode", 0) == 1 else 1.0
    rows = _state(
        weight,
        repeats,
        (axis(Kind.SAMPLE, bags), axis(Kind.POSITION, length), axis(Kind.FEATURE, weight.shape[1])),
        False,
    )
    pairs = length * rows.second + length * (length - 1) * rows.across_positions
    axes = (axis(Kind.SAMPLE, bags), axis(Kind.FEATURE, weight.shape[1]))
    out = gaussian(
        axes,
        rows.sizes,
        by * length * rows.mean,
        by**2 * pairs,
        by**2 * pairs,
        (by * length) ** 2 * rows.across_samples,
    )

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        g, s = out.average(seen.second), out.average(seen.across_samples)
        own = length * (1 + (length - 1) * repeats.positions) * g
        squares = own + (bags - 1) * length**2 * repeats.samples * s
        yield "weight", WeightGradient(max(by**2 * bags * squares / weight.shape[0], 0.0))

    further = [gaussian((), [1], 0.0, 1.0, 1.0, 1.0) for _ in call.node.shapes[1:]]
    return Outcome((out, *further), pull)
