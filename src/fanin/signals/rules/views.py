"""Operations that move elements and change none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from fanin.signals.axes import Axes, Axis, Kind, axis, count, kinds_of, reshaped, shape_of, size_of, usual
from fanin.signals.broadcast import as_state, common_axes, expanded, gathered
from fanin.signals.draws import together
from fanin.signals.gradient import Gradient, chosen, total
from fanin.signals.latent import Array
from fanin.signals.rules.views_bins import Cut, everywhere, one_after_another, parts_of, side_by_side
from fanin.signals.state import Root, State, gaussian
from fanin.signals.taps import Profile, blended
from fanin.signals.values import Call, NoRule, Outcome, Pulled, Value, Weight, WeightGradient

UNLIKE: Final = 4.0  # second moments that differ by more are not of one kind
UNLIKE_MARK: Final = "positions of different kinds, as parts of a map with two axes, are taken for one population"


def same(call: Call) -> Outcome:
    """`clone`, `contiguous`, a cast: x itself."""
    name = call.first
    return Outcome((call.values[name],), lambda gradients: iter([(name, gradients[0])]))


def detached(call: Call) -> Outcome:
    """`detach`: x itself, and no gradient comes back."""
    return Outcome((call.values[call.first],))


def view(call: Call) -> Outcome:
    """`view`, `reshape`, `flatten`, `unsqueeze`, …: the same elements in row-major order."""
    x = call.state(call.first)
    axes = reshaped(x.axes, call.node.shape)
    if axes is None:  # an axis torn in uneven pieces
        axes = usual(call.node.shape)
        out = replace(x.pooled([max(count(axes, Kind.FEATURE), 1)]), axes=axes).marked("axes guessed after a view")
        return Outcome((out,), lambda g: iter([(call.first, _averaged(g[0], out, x))]))
    return _moved(call, x, axes)


def _averaged(gradient: Gradient, out: State, x: State) -> Gradient:
    return everywhere(total(gradient, out), out, x).flow()


def permute(call: Call) -> Outcome:
    """`permute`, `transpose`, `t`, `movedim`."""
    x = call.state(call.first)
    order = order_of(call, len(x.axes))
    of_positions = [i for i in order if Kind.POSITION in kinds_of(x.axes[i])]
    return _moved(call, x, tuple(x.axes[i] for i in order), ordered=of_positions == sorted(of_positions))


def order_of(call: Call, rank: int) -> list[int]:
    """Which axis of the operand is each axis of the result."""
    order = list(range(rank))
    if call["dims"] is not None:
        return [d % rank for d in call["dims"]]
    if call["dim0"] is not None:
        a, b = call["dim0"] % rank, call["dim1"] % rank
    else:
        a, b = rank - 2, rank - 1
    order[a], order[b] = order[b], order[a]
    return order


def _moved(call: Call, x: State, axes: Axes, *, ordered: bool = True) -> Outcome:
    """New axes; where features change their order, segments can no longer be told apart, where positions do, bins."""
    name = call.first
    before = [f for a in x.axes for f in a if f[0] is Kind.FEATURE]
    after = [f for a in axes for f in a if f[0] is Kind.FEATURE]
    shuffled = len(x.sizes) > 1 and _product_order(before) != _product_order(after)
    if not shuffled:
        out = replace(x, axes=axes)
        return Outcome((out.beside(x) if ordered else out,), lambda g: iter([(name, g[0])]))
    out = replace(x.pooled(), axes=axes)
    out = out.beside(x) if ordered else out
    return Outcome((out,), lambda g: iter([(name, _averaged(g[0], out, x))]))


def _product_order(factors: list[tuple[Kind, int]]) -> list[int]:
    ends, total_ = [], 1
    for _, size in factors:
        total_ *= size
        ends.append(total_)
    return ends


def expand(call: Call) -> Outcome:
    """`expand`, `repeat` of axes of size one."""
    x = call.state(call.first)
    shape = call.node.shape
    axes: list[Axis] = []
    for at in range(-len(shape), 0):
        own = x.axes[at] if len(x.axes) >= -at else ()
        if size_of(own) == shape[at]:
            axes.append(own)
        elif size_of(own) == 1:
            axes.append(axis(_repeated(x, at, len(shape)), shape[at]))
        else:
            raise NoRule("an axis of several entries is repeated")
    out = expanded(x, tuple(axes))
    if out.features > x.features > 1:  # heads that several queries share: other features, though they are copies
        out = replace(out, root=Root()).beside(out)
    return Outcome((out,), lambda g: iter([(call.first, gathered(g[0], out, x))]))


def broadcast(call: Call) -> Outcome:
    """`broadcast_tensors`: each repeated to the shape that they have together."""
    named = call.listed("tensors")
    axes = common_axes([value for _, value in named if isinstance(value, State)], tuple(call.node.shapes[0]))
    states = [as_state(value, axes) for _, value in named]
    axes = common_axes(states, tuple(call.node.shapes[0]))
    outs = [expanded(state, axes) for state in states]

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        for (name, value), gradient, out, state in zip(named, gradients, outs, states, strict=True):
            if gradient and isinstance(value, State):
                yield name, gathered(gradient, out, state)

    return Outcome(tuple(outs), pull)


def _repeated(x: State, at: int, rank: int) -> Kind:
    """What an axis counts along which one entry is repeated."""
    if at == -1 and x.features == 1:
        return Kind.FEATURE
    right = {kind for a in x.axes[at + 1 :] for kind in kinds_of(a)} if at < -2 else set()
    if at > -rank and Kind.POSITION in right and kinds_of(x.axes[-1]) == {Kind.FEATURE}:  # heads that share keys
        return Kind.FEATURE
    return Kind.SAMPLE if at == -rank and x.samples == 1 else Kind.POSITION


def select(call: Call) -> Outcome:
    """`select`: one entry of an axis; `slice` and `narrow`: some."""
    x = call.state(call.first)
    dim = call.get("dim", 0) % max(len(x.axes), 1)
    size = size_of(x.axes[dim])
    if call.node.op == "select":
        return _cut(call, x, dim, call["index"] % size, 1, 1, drop=True)
    start, step = call.get("start", 0) or 0, call.get("step", 1) or 1
    start = min(max(start + size if start < 0 else start, 0), size)
    return _cut(call, x, dim, start, call.node.shape[dim], step)


def _cut(call: Call, x: State, dim: int, start: int, length: int, step: int, *, drop: bool = False) -> Outcome:
    piece = Piece.of(x, dim, start, length, step, drop=drop)
    return Outcome((piece.state,), lambda g: iter([(call.first, piece.back(g[0]))]))


class Piece:
    """A range of one axis: which segments it has, and what its gradient is to the whole."""

    def __init__(self, whole: State, state: State, rows: Any, share: float, kind: Kind) -> None:
        self.whole, self.state, self.rows, self.share, self.kind = whole, state, rows, share, kind
        self.profile: Profile | None = None  # of the gradient of the whole: 0 outside the piece
        self.cut: Cut | None = None  # likewise by bin

    @classmethod
    def of(cls, x: State, dim: int, start: int, length: int, step: int = 1, *, drop: bool = False) -> Piece:
        """`length` entries of an axis from `start`, the axis itself dropped or not."""
        own = x.axes[dim]
        size = size_of(own)
        if size == length and not drop:
            return cls(x, x, None, 1.0, Kind.POSITION)
        kinds = kinds_of(own)
        kind = next(iter(kinds)) if len(kinds) == 1 else (Kind.FEATURE if Kind.FEATURE in kinds else Kind.POSITION)
        cut = axis(kind, length)
        axes = (*x.axes[:dim], *([] if drop else [cut]), *x.axes[dim + 1 :])
        share = length / size
        if Kind.FEATURE not in kinds:
            part = replace(x, axes=axes, root=_root(x, dim, start, length, step))
            piece = cls(x, part, None, share, kind)
            if kind is Kind.POSITION:
                piece.profile = _there(x, dim, np.arange(start, start + length * step, step))
                if x.bins is not None and x.positions == size:
                    piece.cut = Cut.of(x.bins.counts, np.arange(start, start + length * step, step))
                    piece.state = piece.state.binned(x.bins.picked(piece.cut.at, piece.cut.counts))
            return piece
        before = count(x.axes[:dim], Kind.FEATURE)
        if before > 1 or len(x.sizes) == 1 or step != 1:
            whole = x.pooled() if len(x.sizes) > 1 else x
            part = whole.rows(
                np.zeros(1, dtype=np.int64),
                np.array([max(count(axes, Kind.FEATURE), 1)]),
                root=_root(x, before, start, length, step),
            )
            return cls(
                x,
                replace(part, axes=axes).beside(part),
                None if len(x.sizes) > 1 else np.zeros(1, dtype=np.int64),
                share,
                Kind.FEATURE,
            )
        inner = count(x.axes[dim + 1 :], Kind.FEATURE)
        low, high = start * inner, (start + length) * inner
        ends = np.cumsum(x.sizes)
        starts = ends - x.sizes
        rows = np.flatnonzero((ends > low) & (starts < high))
        sizes = np.minimum(ends[rows], high) - np.maximum(starts[rows], low)
        part = x.rows(rows, sizes, root=_root(x, before, start, length, step))
        return cls(x, replace(part, axes=axes).beside(part), rows, share, Kind.FEATURE)

    def back(self, gradient: Gradient) -> Gradient:
        """The gradient of the whole: 0 outside the piece, so that on average it is smaller."""
        x, out = self.whole, self.state
        if out is x:
            return gradient
        seen = total(gradient, out)
        if self.cut is not None and x.bins is not None:
            moments = self.cut.back(x.bins.counts, *seen.in_bins(out, self.cut.counts))
            return replace(seen.spread_over(x, x.bins.counts, *moments), profile=self.profile).flow()
        if self.kind is not Kind.FEATURE:
            pairs = (
                self.share * max(out.positions - 1, 0) / max(x.positions - 1, 1)
                if self.kind is Kind.POSITION
                else self.share
            )
            of_samples = (
                self.share**2
                if self.kind is Kind.POSITION
                else self.share * max(out.samples - 1, 0) / max(x.samples - 1, 1)
            )
            return replace(seen.scaled(self.share, pairs, of_samples), profile=self.profile).flow()
        return seen.each(self._in_whole).flow()

    def _in_whole(self, moment: Array) -> Array:
        x, out = self.whole, self.state
        row = np.zeros(len(x.sizes))
        if self.rows is None or len(row) == 1:
            row[:] = self.share * out.average(moment)
        else:
            row[self.rows] = moment * out.sizes / x.sizes[self.rows]
        return row


def _there(x: State, dim: int, chosen: Any) -> Profile:
    """Along each axis of positions, where a piece is."""
    profile = []
    for at, own in enumerate(x.axes):
        if kinds_of(own) == {Kind.POSITION}:
            one = np.ones(size_of(own))
            if at == dim:
                one = np.zeros(size_of(own))
                one[chosen] = len(one) / len(chosen)
            profile.append(one)
    return tuple(profile)


def _root(x: State, *which: int) -> Any:
    """Other features have another latent; the same features the same."""
    known = x.root.__dict__.setdefault("pieces", {})
    return known.setdefault(which, type(x.root)())


def split(call: Call) -> Outcome:
    """`split`, `split_with_sizes`, `chunk`, `unbind`: pieces of one axis."""
    x = call.state(call.first)
    dim = call.get("dim", 0) % len(x.axes)
    size = size_of(x.axes[dim])
    drop = call.node.op == "unbind"
    lengths = [1] * size if drop else _lengths(call, size)
    pieces, start = [], 0
    for length in lengths:
        pieces.append(Piece.of(x, dim, start, length, drop=drop))
        start += length

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        for piece, gradient in zip(pieces, gradients, strict=True):
            if gradient:
                yield call.first, piece.back(gradient)

    return Outcome(tuple(piece.state for piece in pieces), pull)


def _lengths(call: Call, size: int) -> list[int]:
    if call.node.op == "chunk":
        each = -(-size // call["chunks"])
    elif isinstance(call["split_size"], int):
        each = call["split_size"]
    else:
        return list(call.get("split_sizes", call["split_size"]))
    return [min(each, size - at) for at in range(0, size, each)]


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
