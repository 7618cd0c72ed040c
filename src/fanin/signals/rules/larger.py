"""The larger of two tensors."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from fanin.signals import latent
from fanin.signals.broadcast import expanded
from fanin.signals.flow import scaled
from fanin.signals.gradient import total
from fanin.signals.latent import Array
from fanin.signals.rules.operands import covers, number_of, operands, pulled, times
from fanin.signals.rules.pointwise import clipped
from fanin.signals.rules.sums import sum_of
from fanin.signals.state import State, aligned, gaussian
from fanin.signals.values import Call, Outcome, Pulled, as_array


def larger(call: Call) -> Outcome:
    """`maximum(x, y)`, and `minimum(x, y)` as −max(−x, −y): back to whichever it is."""
    sign = 1.0 if call.node.op in ("maximum", "max") else -1.0
    for name, other in (("self", "other"), ("other", "self")):
        bound = number_of(call[other])
        if isinstance(call[name], State) and bound is not None and covers(call[name], call):
            low, high = (bound, math.inf) if sign > 0 else (-math.inf, bound)
            return clipped(call, name, low, high)
    x, y, axes = operands(call, "self", "other")
    ex, ey = aligned(expanded(x, axes), expanded(y, axes))
    together = ex.root is ey.root
    if together:
        first = as_array(sign * ex.values >= sign * ey.values)
        out = ex.of(np.where(first > 0, ex.values, ey.values))
        shares = (ex.of(first), ex.of(1 - first))
    else:
        out = _larger_of_independent(ex, ey, sign)
        difference = sum_of(replace(ex, marginal=None), replace(ey, marginal=None), sign, -sign)
        taken = difference.of(as_array(difference.values >= 0))
        shares = (taken, taken.scaled(-1.0, 1.0))

    def pull(gradients: Any) -> Pulled:
        (gradient,) = gradients
        for name, operand, part, share in zip(("self", "other"), (x, y), (ex, ey), shares, strict=True):
            back = scaled(gradient, share.values) if together else times(total(gradient, out), share).flow()
            yield from pulled(call, name, operand, part, back)

    return Outcome((out,), pull)


def _larger_of_independent(x: State, y: State, sign: float) -> State:
    """Moments from the plane of both latents; each pair as alike as those that it is made of."""
    values = latent.independent(lambda u, v: np.asarray(sign * np.maximum(sign * u, sign * v)), x.values, y.values)
    mean, second = latent.expectation(values), latent.expectation(values**2)
    both = x.variance + y.variance

    def moment(what: str) -> Array:
        apart = getattr(x, what) - x.mean**2 + getattr(y, what) - y.mean**2
        with np.errstate(all="ignore"):
            return np.asarray(mean**2 + np.nan_to_num(apart / both) * (second - mean**2))

    state = gaussian(
        x.axes,
        x.sizes,
        mean,
        second,
        moment("across_positions"),
        moment("across_samples"),
        draws=max(x.draws, y.draws, key=lambda d: d.variance),
        marks=x.marks | y.marks,
    )
    return replace(state, marginal=values)
