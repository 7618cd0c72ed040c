"""Attention written out: scores Q Kᵀ, scaled and masked; their softmax; its product with V.

What the operations between know is a note on the state: which tensors the scores are made of, what they were multiplied
with, and what was added. It lives only through the operations of `following.FOLLOWED`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from fanin.signals.attention import Along, Attended, Logits, Received
from fanin.signals.attention_bins import bins_of
from fanin.signals.axes import Axes, Kind, count, size_of
from fanin.signals.contraction import Contraction
from fanin.signals.flow import Gradient
from fanin.signals.gradient import GradientMoments, total
from fanin.signals.rules.attention import Hidden, attended_state, large, like
from fanin.signals.rules.attention_bins import Binned, attended_in_bins, gradient_in_bins, keys_fit
from fanin.signals.rules.attention_bins import Received as InBins
from fanin.signals.softmax import Mask, Rows, softmax_rows
from fanin.signals.state import State, gaussian
from fanin.signals.values import Call, NoRule, Outcome, Pulled


class Side(NamedTuple):
    """One factor of the scores.

    Attributes:
        state: of the tensor.
        axis: which of its axes the scores keep.
        at: which axis of the scores that is, counted from the last, −1.
        repeats: heads of the other that share one of its heads.
    """

    state: State
    axis: int
    at: int
    repeats: int


@dataclass(frozen=True, eq=False)
class Scores:
    """A note: the tensor is scale · x_i·y_j + what is added.

    Attributes:
        left, right: x and y; which are queries and which keys, the softmax decides.
        width: features that are summed.
        scale: by which x·y was multiplied.
        added: known tensors that were added, a mask; each broadcasts to the scores.
        bias: variance over the keys of what else was added.
        returned: gradients of x and y, for the product to hand on.
    """

    left: Side
    right: Side
    width: int
    scale: float = 1.0
    added: tuple[Any, ...] = ()
    bias: float = 0.0
    returned: list[tuple[GradientMoments, GradientMoments]] = field(default_factory=list)

    def turned(self, order: Sequence[int]) -> Scores | None:
        """With the axes in another order."""
        if self.added:
            return None
        places = [order.index(side.at % len(order)) - len(order) for side in (self.left, self.right)]
        return replace(self, left=self.left._replace(at=places[0]), right=self.right._replace(at=places[1]))


@dataclass(frozen=True, eq=False)
class Attention:
    """A note: the tensor is the softmax of scores.

    Attributes:
        rows: its averages.
        query_at, key_at: its axes, counted from the last, −1.
        correlation: of two queries.
        features: of what keys and values are made of.
        keep: share of the weights that a dropout lets through.
        received: what came back from products with values.
        binned: the averages by bin, where positions are not alike.
    """

    rows: Rows
    query_at: int
    key_at: int
    correlation: float
    features: int
    keep: float = 1.0
    received: list[Received] = field(default_factory=list)
    binned: Binned | None = None

    def turned(self, order: Sequence[int]) -> Attention:
        """With the axes in another order."""
        places = [order.index(at % len(order)) - len(order) for at in (self.query_at, self.key_at)]
        return replace(self, query_at=places[0], key_at=places[1])


def softmax(call: Call, scores: Scores) -> Outcome:
    """The weights A: of mean 1/T, and E A² = E Σ_j A_ij²/T.  Backward: ∂L_ij = A_ij (∂A_ij − Σ_l A_il ∂A_il)."""
    x = call.state(call.first)
    at = int(call.get("dim", -1))
    at = at if at < 0 else at - len(x.axes)
    if at not in (scores.left.at, scores.right.at):
        raise NoRule("the softmax is over another axis than that of the keys")
    key, query = (scores.left, scores.right) if at == scores.left.at else (scores.right, scores.left)
    features = max(side.state.features for side in (key, query))
    logits = Logits(
        Along.axis(query.state, query.axis), Along.axis(key.state, key.axis), scores.scale, scores.width, features
    )
    n, t = logits.query.size, logits.key.size
    mask = Mask(n, t)
    for array in scores.added:
        whole = array.reshape((1,) * (len(x.axes) - array.ndim) + array.shape)
        mask = mask.plus(np.moveaxis(whole, (query.at, key.at), (-2, -1)))
    variance = logits.variance + scores.bias
    counts = bins_of(mask, logits.query, logits.key, logits.key)
    binned = None if counts is None else Binned.of(logits, variance, mask, counts)
    rows = binned.all_rows if binned else softmax_rows(variance, scores.width, logits.correlation, mask)
    note = Attention(rows, query.at, key.at, logits.correlation, features, binned=binned)
    out = _weights(x, rows, n, t, logits.key.kind).marked(*large(variance)).noted(note)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        known = sum(r.plain for r in note.received) + (sum(r.plain for r in binned.received) if binned else 0.0)
        rest = max(out.average(seen.second) - known, 0.0)
        received = [*note.received, Received(rest, 0.0, rest)]
        own = Received(*(sum(getattr(r, name) for r in received) for name in ("own", "shared", "plain")))
        if binned is not None:
            back = binned.returned((query.repeats, key.repeats), own.own)
        else:
            back = logits.to_query(own, rows).times(query.repeats), logits.to_key(own, rows, key.repeats)
        scores.returned.append(back if query is scores.left else back[::-1])
        second = own.own * rows.slope / t + (binned.to_scores() if binned is not None else 0.0)
        entries = x.positions if logits.key.kind is Kind.POSITION else n * t  # windows count positions, too
        yield call.first, _score_gradient(x, second, entries).flow()

    return Outcome((out,), pull)


def _weights(x: State, rows: Rows, queries: int, keys: int, kind: Kind) -> State:
    """Every row adds up to 1."""
    entries, elsewhere = queries * keys, 1 / keys**2
    within = (queries**2 - queries * rows.overlap) / max(entries * (entries - 1), 1)
    pairs = max(count(x.axes, kind) - 1, 1)
    along = ((entries - 1) * within + (pairs + 1 - entries) * elsewhere) / pairs
    positions, samples = (along, elsewhere) if kind is Kind.POSITION else (elsewhere, along)
    return gaussian(
        x.axes, [x.features], 1 / keys, rows.overlap / keys, positions, samples, draws=x.draws, marks=x.marks
    )


def _score_gradient(x: State, second: float, entries: int) -> GradientMoments:
    """Of logits: along a row it adds up to 0."""
    one = np.ones(len(x.sizes))
    return GradientMoments(second * one, -second / max(entries - 1, 1) * one, 0 * one)


def attended(
    a_name: str,
    note: Attention,
    a: Any,
    v_name: str,
    v: State,
    value_axis: int,
    width: int,
    repeats: int,
    contraction: Contraction,
) -> Outcome:
    """A·V: as in one operation."""
    order = [
        [n for n in letters if contraction.size(n, Kind.FEATURE) > 1]
        for letters in (contraction.right, contraction.left)
    ]
    kept = [n for n in contraction.out if contraction.size(n, Kind.FEATURE) > 1]
    seen = v if repeats == 1 and kept in order else v.pooled()
    queries = size_of(a.axes[note.query_at])
    if note.binned is not None and keys_fit(Along.axis(seen, value_axis), note.binned):
        return _in_bins(a_name, note, note.binned, a, v_name, v, seen, width, repeats, contraction.out_axes)
    product = Attended(
        note.rows,
        Along.axis(seen, value_axis),
        queries,
        width,
        note.correlation,
        max(note.features, v.features),
        note.keep,
        repeats,
    )
    out = attended_state(product, contraction.out_axes, a.marks)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        delta = total(gradients[0], out)
        received = product.to_weights(delta, out)
        note.received.append(received)
        one = np.ones(len(a.sizes))
        yield v_name, like(product.to_value(delta), seen, v).flow()
        yield a_name, GradientMoments(note.keep * received.plain * one, 0 * one, 0 * one).flow()

    return Outcome((out,), pull)


def _in_bins(
    a_name: str,
    note: Attention,
    binned: Binned,
    a: State,
    v_name: str,
    v: State,
    seen: State,
    width: int,
    repeats: int,
    axes: Axes,
) -> Outcome:
    """The same where positions are not alike."""
    product = binned.attended(seen, width, max(note.features, v.features), note.keep, repeats)
    out = attended_in_bins(product, seen, axes, a.marks)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        second, across = total(gradients[0], out).in_bins(out, binned.queries)
        received = InBins(*product.received(second, across), product.plain(second))
        binned.received.append(received)
        one = np.ones(len(a.sizes))
        back = gradient_in_bins(seen, binned.keys, product.to_value(second, across))
        yield v_name, like(back, seen, v).flow()
        yield a_name, GradientMoments(note.keep * received.plain * one, 0 * one, 0 * one).flow()

    return Outcome((out,), pull)


def with_constant(x: State, added: Any) -> State:
    """Scores with a known tensor added; where that hides keys, the moments are those of all entries alike."""
    array = np.asarray(added, dtype=np.float64)
    note = x.note
    finite = np.isfinite(array)
    mean, second = (float((np.where(finite, array, 0.0) ** k).mean()) for k in (1, 2))
    out = gaussian(
        x.axes,
        x.sizes,
        x.mean + mean,
        x.second + 2 * x.mean * mean + second,
        x.across_positions + 2 * x.mean * mean + mean**2,
        x.across_samples + 2 * x.mean * mean + second,
        draws=x.draws,
        marks=x.marks,
    )
    if isinstance(note, Scores):
        return out.noted(replace(note, added=(*note.added, array)))
    return out.noted(Hidden(x, array))
