"""Attention written out: scores Q Kᵀ, scaled and masked; their softmax; its product with V.

What the operations between know is a note on the state: which tensors the scores are made of, what they were multiplied
with, and what was added. It lives only through the operations of `FOLLOWED`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np

from fanin.signals.attention import Along, Attended, Logits, Received
from fanin.signals.axes import Kind, count, size_of
from fanin.signals.broadcast import as_state, gathered
from fanin.signals.contraction import Contraction
from fanin.signals.gradient import Gradient, Moments3, scaled, total
from fanin.signals.propagate import Rule
from fanin.signals.rules import pointwise
from fanin.signals.rules.attention import UNKNOWN_MASK, Hidden, attended_state, large, like, row_variance
from fanin.signals.softmax import Mask, Rows, softmax_rows
from fanin.signals.state import State, gaussian
from fanin.signals.values import Call, Constant, NoRule, Outcome, Pulled, Unknown, Weight, WeightGradient


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
    returned: list[tuple[Moments3, Moments3]] = field(default_factory=list)

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
    """

    rows: Rows
    query_at: int
    key_at: int
    correlation: float
    features: int
    keep: float = 1.0
    received: list[Received] = field(default_factory=list)

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
    rows = softmax_rows(variance, scores.width, logits.correlation, mask)
    note = Attention(rows, query.at, key.at, logits.correlation, features)
    out = _weights(x, rows, n, t, logits.key.kind).marked(*large(variance)).noted(note)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        rest = max(out.average(seen.second) - sum(r.plain for r in note.received), 0.0)
        received = [*note.received, Received(rest, 0.0, rest)]
        own = Received(*(sum(getattr(r, name) for r in received) for name in ("own", "shared", "plain")))
        back = logits.to_query(own, rows).times(query.repeats), logits.to_key(own, rows, key.repeats)
        scores.returned.append(back if query is scores.left else back[::-1])
        yield call.first, _score_gradient(x, own.own * rows.slope / t, n * t).flow()

    return Outcome((out,), pull)


def _weights(x: State, rows: Rows, queries: int, keys: int, kind: Kind) -> State:
    """Every row adds up to 1."""
    entries, elsewhere = queries * keys, 1 / keys**2
    within = (queries**2 - queries * rows.overlap) / max(entries * (entries - 1), 1)
    pairs = max(count(x.axes, kind) - 1, 1)
    along = ((entries - 1) * within + (pairs + 1 - entries) * elsewhere) / pairs
    positions, samples = (along, elsewhere) if kind is Kind.POSITION else (elsewhere, along)
    return gaussian(
        x.axes, [x.features], 1 / keys, rows.overlap / keys, positions, samples, spread=x.spread, marks=x.marks
    )


def _score_gradient(x: State, second: float, entries: int) -> Moments3:
    """Of logits: along a row it adds up to 0."""
    one = np.ones(len(x.sizes))
    return Moments3(second * one, -second / max(entries - 1, 1) * one, 0 * one)


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
        yield a_name, Moments3(note.keep * received.plain * one, 0 * one, 0 * one).flow()

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
        spread=x.spread,
        marks=x.marks,
    )
    if isinstance(note, Scores):
        return out.noted(replace(note, added=(*note.added, array)))
    return out.noted(Hidden(x, array))


Generic = Rule | None
Handler = Callable[[Call, str, Any, Generic], "Outcome | None"]


def _scaled(call: Call, name: str, note: Any, generic: Generic) -> Outcome | None:
    """`mul` and `div` by a number, or by a learned temperature."""
    other = next((n for n in ("self", "other") if n != name and call[n] is not None), None)
    if not isinstance(note, Scores) or other is None or generic is None or (call.node.op == "div" and name != "self"):
        return None
    by = pointwise.number_of(call[other])
    if by is None:
        value = as_state(call[other], call.state(name).axes)
        by = math.sqrt(value.average(value.second))
    outcome = generic(call)
    factor = by if call.node.op == "mul" else 1 / by
    return _noted(
        outcome,
        replace(
            note, scale=note.scale * factor, bias=note.bias * factor**2, added=tuple(a * factor for a in note.added)
        ),
    )


def _noted(outcome: Outcome, note: Any) -> Outcome:
    values = tuple(v.noted(note) if isinstance(v, State) else v for v in outcome.values)
    return Outcome(values, outcome.pull)


def _added(call: Call, name: str, note: Any, generic: Generic) -> Outcome | None:
    """`add` of a mask, or of a bias with a law."""
    other = "other" if name == "self" else "self"
    value, x = call[other], call.state(name)
    if call.get("alpha", 1) != 1:
        return None
    if isinstance(value, Constant):
        if np.ptp(value.array) == 0:
            return _noted(generic(call), note) if generic else None
        return Outcome((with_constant(x, value.array),), lambda g: iter([(name, g[0])]))
    if not isinstance(note, Scores) or isinstance(value, Unknown) or value is None:
        return None
    hidden = value.note if isinstance(value, State) else None
    bias = hidden.bias if isinstance(hidden, Hidden) else as_state(value, x.axes)
    found = replace(note, bias=note.bias + row_variance(bias))
    out = gaussian(
        x.axes,
        x.sizes,
        x.mean + bias.average(bias.mean),
        x.second + bias.average(bias.second),
        x.across_positions + bias.average(bias.across_positions),
        x.across_samples + bias.average(bias.second),
        spread=x.spread,
        marks=x.marks | bias.marks,
    ).noted(found)
    if isinstance(hidden, Hidden):
        out = with_constant(out, hidden.added)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        yield name, total(gradients[0], out).flow()
        back = gathered(total(gradients[0], out).flow(), out, bias)
        if isinstance(value, Weight):
            yield other, WeightGradient(bias.average(total(back, bias).second))
        else:
            yield other, back

    return Outcome((out,), pull)


def _filled(call: Call, name: str, note: Any, generic: Generic) -> Outcome | None:
    """`masked_fill` and `where` with a value that hides keys."""
    if not isinstance(note, Scores):
        return None
    if call.node.op == "where":
        mask, other = call["condition"], call["other" if name == "self" else "self"]
    else:
        mask, other = call["mask"], call["value"]
    if isinstance(mask, Unknown):
        return _noted(Outcome((call.state(name).marked(UNKNOWN_MASK),), lambda g: iter([(name, g[0])])), note)
    value = np.asarray(other.array if isinstance(other, Constant) else other)
    if not isinstance(mask, Constant) or value.size != 1 or not Hidden.by(value.astype(np.float64)):
        return None
    hidden = mask.array.astype(bool) != (call.node.op == "where" and name == "self")
    out = with_constant(call.state(name), np.where(hidden, float(value.flat[0]), 0.0))
    return Outcome((out,), lambda g: iter([(name, g[0])]))


def _dropped(call: Call, name: str, note: Any, generic: Generic) -> Outcome | None:
    if generic is None or not isinstance(note, Attention):
        return None
    p = float(call["p"]) if call["train"] else 0.0
    return _noted(generic(call), replace(note, keep=note.keep * (1 - p)))


def _turned(call: Call, name: str, note: Any, generic: Generic) -> Outcome | None:
    from fanin.signals.rules.views import order_of

    if generic is None or isinstance(note, Hidden):
        return None
    turned = note.turned(order_of(call, len(call.state(name).axes)))
    return _noted(generic(call), turned) if turned else None


def _viewed(call: Call, name: str, note: Any, generic: Generic) -> Outcome | None:
    """A view that leaves queries and keys as they are."""
    shape = tuple(size_of(a) for a in call.state(name).axes)
    if generic is None or isinstance(note, Hidden) or shape[-2:] != tuple(call.node.shape[-2:]):
        return None
    places = (note.left.at, note.right.at) if isinstance(note, Scores) else (note.query_at, note.key_at)
    if sorted(places) != [-2, -1] or (
        isinstance(note, Scores) and any(a.ndim > 2 and a.shape[:-2] != (1,) * (a.ndim - 2) for a in note.added)
    ):
        return None
    return _noted(generic(call), note)


def _softmax(call: Call, name: str, note: Any, generic: Generic) -> Outcome | None:
    del generic, name
    return softmax(call, note) if isinstance(note, Scores) else None


FOLLOWED: Final[Mapping[str, Handler]] = {
    "mul": _scaled,
    "div": _scaled,
    "add": _added,
    "masked_fill": _filled,
    "where": _filled,
    **dict.fromkeys(("dropout", "native_dropout"), _dropped),
    **dict.fromkeys(("permute", "transpose", "t", "mT", "movedim"), _turned),
    **dict.fromkeys(("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze"), _viewed),
    **dict.fromkeys(("softmax", "_softmax", "_safe_softmax"), _softmax),
}


def followed(rules: Mapping[str, Rule]) -> Mapping[str, Rule]:
    """The rules, with those of scores before the general ones."""
    return {**rules, **{op: _first(handler, rules.get(op)) for op, handler in FOLLOWED.items()}}


def _first(handler: Handler, generic: Generic) -> Rule:
    def rule(call: Call) -> Outcome:
        for name, value in call.values.items():
            note = getattr(value, "note", None)
            hides = isinstance(value, State) and any(
                isinstance(other, Constant) and Hidden.by(other.array) for other in call.values.values()
            )
            if note is not None or hides:
                outcome = handler(call, name, note, generic)
                if outcome is not None:
                    return outcome
        if generic is None:
            raise NoRule(f"{call.node.op} has no rule but for attention")
        return generic(call)

    return rule


del scaled
