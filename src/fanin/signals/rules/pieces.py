"""Ranges of one axis: what a piece is of the whole, and what its gradient is to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fanin.signals.axes import Kind, axis, count, kinds_of, size_of
from fanin.signals.flow import Gradient
from fanin.signals.frozen import replace
from fanin.signals.gradient import total
from fanin.signals.latent import Array
from fanin.signals.rules.views_bins import Cut
from fanin.signals.state import State
from fanin.signals.taps import Profile
from fanin.signals.values import Call, Outcome, Pulled


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
                chosen = np.arange(start, start + length * step, step)
                piece.profile = _there(x, dim, chosen)
                if x.bins is not None and x.positions == size:
                    piece.cut = Cut.of(x.bins.counts, chosen)
                    piece.state = piece.state.binned(x.bins.picked(piece.cut.at, piece.cut.counts))
                elif x.bins is None:
                    piece.state = _as_large_as_there(part, x, dim, chosen, drop=drop)
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


def _as_large_as_there(part: State, x: State, dim: int, chosen: Any, *, drop: bool) -> State:
    """As positions are not equally large: the last step of a recurrent layer has more behind it than the first."""
    axes = [at for at, own in enumerate(x.axes) if kinds_of(own) == {Kind.POSITION}]
    if x.profile is None or [size_of(x.axes[at]) for at in axes] != [len(p) for p in x.profile]:
        return part
    profile = dict(zip(axes, x.profile, strict=True))
    there = profile[dim][chosen]
    size = float(there.mean())
    profile[dim] = there / size if size > 0 else np.ones_like(there)
    rest = tuple(p for at, p in profile.items() if not (drop and at == dim))
    return replace(part.scaled(math.sqrt(size)), profile=rest or None)


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
