"""Attention in one operation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from fanin.signals.attention import Along, Attended, Logits
from fanin.signals.attention_bins import BinnedAttended, bins_of
from fanin.signals.axes import Axes, Kind, count, kinds_of, size_of
from fanin.signals.broadcast import as_state, gathered
from fanin.signals.flow import Gradient
from fanin.signals.frozen import replace
from fanin.signals.gradient import GradientMoments, total
from fanin.signals.rules.attention_bins import Binned, attended_in_bins, gradient_in_bins
from fanin.signals.rules.attention_bins import Received as InBins
from fanin.signals.softmax import HIDDEN, Mask, softmax_rows
from fanin.signals.state import State, gaussian
from fanin.signals.values import Call, Constant, NoRule, Outcome, Pulled, Unknown, Weight, WeightGradient

LARGE: Final = 4.0  # s² beyond which few keys take most of the attention
LARGE_MARK: Final = "attention logits of large variance"
UNKNOWN_MASK: Final = "an attention mask of unknown values is left out"


def scaled_dot_product_attention(call: Call) -> Outcome:
    """Softmax(c Q Kᵀ + mask) V, with c = 1/√D unless given.

    References: Vaswani et al. 2017; Noci et al. 2022; Kedia et al. 2024, app. A.
    """
    query, key, value = (call.state(name) for name in ("query", "key", "value"))
    if any(kinds_of(s.axes[-1]) - {Kind.FEATURE} for s in (query, key, value)):
        raise NoRule("the last axis does not count features")
    width = size_of(query.axes[-1])
    features = max(s.features for s in (query, key, value))
    scale = call.get("scale", 1 / math.sqrt(width))
    logits = Logits(Along.axis(query, -2), Along.axis(key, -2), scale, width, features)
    axes = (*query.axes[:-1], key.axes[-2])
    mask = Mask(logits.query.size, logits.key.size, bool(call["is_causal"]))
    mask, bias, marks = _masked(mask, call["attn_mask"], axes)
    variance = logits.variance + (row_variance(bias) if bias else 0.0)
    repeats = max(query.features // key.features, 1)
    seen = value if repeats == 1 else value.pooled()
    out_axes = (*query.axes[:-1], value.axes[-1])
    marks |= large(variance) | query.marks | key.marks
    counts = bins_of(mask, logits.query, logits.key, Along.axis(seen, -2))
    if counts is not None:
        binned = Binned.of(logits, variance, mask, counts)
        keep = 1 - float(call.get("dropout_p", 0.0))
        product = binned.attended(seen, size_of(value.axes[-1]), features, keep, repeats)
        return _in_bins(call, binned, product, seen, attended_in_bins(product, seen, out_axes, marks), bias)
    rows = softmax_rows(variance, width, logits.correlation, mask)
    attended = Attended(
        rows,
        Along.axis(seen, -2),
        logits.query.size,
        size_of(value.axes[-1]),
        logits.correlation,
        features,
        1 - float(call.get("dropout_p", 0.0)),
        repeats,
    )
    out = attended_state(attended, out_axes, marks)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        delta = total(gradients[0], out)
        received = attended.to_weights(delta, out)
        yield "query", logits.to_query(received, rows).flow()
        yield "key", logits.to_key(received, rows, repeats).flow()
        yield "value", like(attended.to_value(delta), seen, value).flow()
        if bias is not None:
            yield from to_bias(call, "attn_mask", bias, axes, received.own * rows.slope / max(logits.key.size, 1))

    return Outcome((out,), pull)


def _in_bins(
    call: Call, binned: Binned, product: BinnedAttended, seen: State, out: State, bias: State | None
) -> Outcome:
    """The same where positions are not alike."""
    value, query, key = call.state("value"), call.state("query"), call.state("key")

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        second, across = total(gradients[0], out).in_bins(out, binned.queries)
        received = InBins(*product.received(second, across), product.plain(second))
        here = replace(binned, received=[received])
        to_query, to_key = here.returned((1, product.repeats))
        yield "query", to_query.flow()
        yield "key", to_key.flow()
        back = gradient_in_bins(seen, binned.keys, product.to_value(second, across))
        yield "value", like(back, seen, value).flow()
        if bias is not None:
            axes = (*query.axes[:-1], key.axes[-2])
            yield from to_bias(call, "attn_mask", bias, axes, here.to_scores())

    return Outcome((out,), pull)


def attended_state(attended: Attended, axes: Axes, marks: frozenset[str]) -> State:
    """The result of A·V, with V's segments unless heads are repeated."""
    v = attended.value.state
    found = attended.moments()
    sizes = v.sizes if attended.repeats == 1 else [count(axes, Kind.FEATURE)]
    return gaussian(
        axes,
        sizes,
        v.mean,
        found.second,
        found.across_positions,
        found.across_samples,
        draws=v.draws,
        marks=v.marks | marks,
    )


def like(seen: GradientMoments, pooled: State, whole: State) -> GradientMoments:
    """Moments by the segments of the tensor before it was pooled."""
    n = len(whole.sizes)
    if len(seen.second) == n:
        return seen
    return seen.each(lambda m: np.full(n, pooled.average(m)))


def large(variance: float) -> frozenset[str]:
    """A mark where the softmax is far from uniform: moments vary much from head to head."""
    return frozenset({LARGE_MARK}) if variance > LARGE else frozenset()


def row_variance(bias: State) -> float:
    """Over the keys of one row, of what is added to logits.

    A mean over rows, since the covariance of two keys is known over all pairs only.
    """
    return max(bias.average(bias.second - bias.across_positions), 0.0)


def _masked(mask: Mask, given: Any, axes: Axes) -> tuple[Mask, State | None, frozenset[str]]:
    """The mask with what is added to the logits, the part of that which has a law, and marks."""
    if given is None:
        return mask, None, frozenset()
    if isinstance(given, Constant):
        array = given.array
        return mask.plus(np.where(array, 0.0, -np.inf) if array.dtype == bool else array), None, frozenset()
    if isinstance(given, Unknown):
        return mask, None, frozenset({UNKNOWN_MASK})
    hidden = getattr(given, "note", None)
    if isinstance(hidden, Hidden):
        return mask.plus(hidden.added), hidden.bias, frozenset()
    return mask, as_state(given, axes), frozenset()


class Hidden:
    """A note: what is added to logits, a part with a law and a constant that hides keys."""

    def __init__(self, bias: State, added: Any) -> None:
        self.bias, self.added = bias, added

    @staticmethod
    def by(array: Any) -> bool:
        """Whether a constant hides keys where it is added."""
        return bool(array.size and array.dtype.kind == "f" and array.min() < HIDDEN)


def to_bias(call: Call, name: str, bias: State, axes: Axes, second: float) -> Pulled:
    """The gradient of what was added to the logits, summed over its repeats; that of each row adds up to 0.

    Args:
        second: E (∂loss/∂logits)².
    """
    scores = gaussian(axes, [max(count(axes, Kind.FEATURE), 1)], 0.0, 1.0, 0.0, 0.0)
    own, apart = np.array([second]), np.array([-second / max(scores.positions - 1, 1)])
    back = gathered(GradientMoments(own, apart, np.zeros(1)).flow(), scores, bias)
    if isinstance(call[name], Weight):
        yield name, WeightGradient(bias.average(total(back, bias).second))
    else:
        yield name, back
