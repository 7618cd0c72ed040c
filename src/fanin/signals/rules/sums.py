"""Sums of two tensors: of one latent exactly, else independent, q = Σ q_i + 2 μ_1 μ_2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fanin.signals import latent
from fanin.signals.broadcast import expanded
from fanin.signals.draws import together
from fanin.signals.flow import Gradient, scaled
from fanin.signals.frozen import replace
from fanin.signals.gradient import total
from fanin.signals.gradient_forms import with_factor
from fanin.signals.latent import Array
from fanin.signals.places import Places
from fanin.signals.rules.operands import affine, covers, number_of, operands, pulled
from fanin.signals.rules.pointwise_bins import both_in_bins, summed_in_bins
from fanin.signals.rules.steady import also_lost, is_mean, is_steady, shifted, without_mean
from fanin.signals.state import State, aligned, gaussian
from fanin.signals.taps import blended
from fanin.signals.twins import TWO
from fanin.signals.values import Call, Outcome, Pulled


def negate(call: Call) -> Outcome:
    """−x."""
    return affine(call, call.first, -1.0, 0.0)


def add(call: Call, sign: float = 1.0) -> Outcome:
    """X + α y: of one latent, exactly; else independent, q = Σ q_i + 2 μ_1 μ_2."""
    alpha = sign * float(call.get("alpha", 1.0))
    return _two(call, "self", "other", 1.0, alpha)


def subtract(call: Call) -> Outcome:
    """X − α y."""
    return add(call, -1.0)


def subtract_from(call: Call) -> Outcome:
    """`rsub`: α… y − α x."""
    return _two(call, "self", "other", -float(call.get("alpha", 1.0)), 1.0)


def _two(call: Call, left: str, right: str, a: float, b: float) -> Outcome:
    """a·x + b·y."""
    for name, by, other, shift in ((left, a, right, b), (right, b, left, a)):
        number = number_of(call[other])
        if isinstance(call[name], State) and number is not None and call[name].axes and covers(call[name], call):
            return affine(call, name, by, shift * number)
    x, y, axes = operands(call, left, right)
    ex, ey = aligned(expanded(x, axes), expanded(y, axes))
    centred = b == -a and is_mean(ey, ex)
    if ex.root is ey.root:
        out = ex.of(a * ex.values + b * ey.values)
    elif ex.constant or ey.constant:
        kept, added, by, shift = (ex, ey, a, b) if ey.constant else (ey, ex, b, a)
        out = replace(kept.scaled(by, shift * float(added.mean[0])), axes=axes)
    elif (alike := _alike(call, left, right, ex)) is not None:
        out = sum_of(ex, ey, a, b, alike).marked(TWO)
    elif centred:
        out = without_mean(ex, ey, a)
    elif is_steady(y, ey, ex):
        out = shifted(ex, ey, a, b, sum_of(ex, replace(ey, marginal=None), a, b))
    elif is_steady(x, ex, ey):
        out = shifted(ey, ex, b, a, sum_of(ey, replace(ex, marginal=None), b, a))
    else:
        out = sum_of(ex, ey, a, b)
    out = out.binned(summed_in_bins(ex, ey, a, b, out, both_in_bins((call[left], call[right]), (ex, ey))))

    def pull(gradients: Any) -> Pulled:
        for name, operand, part, by, other, further in ((left, x, ex, a, ey, b), (right, y, ey, b, ex, a)):
            seen = gradients[0]
            if part.root is not out.root:
                seen = _seen_by(seen, out, part, by * part.values, further * other.values)
            yield from pulled(call, name, operand, part, scaled(seen, by))
        if centred:
            yield from pulled(call, left, x, ex, also_lost(scaled(gradients[0], a), ey, y, ex))

    return Outcome((out,), pull)


def _alike(call: Call, left: str, right: str, whole: State) -> Array | None:
    """E x y of twins, entry by entry."""
    both = call.twins(left, right)
    same = both is not None and call.state(left).axes == call.state(right).axes and len(both) == len(whole.sizes)
    return both if same else None


def _seen_by(gradient: Gradient, out: State, part: State, term: Array, other: Array) -> Gradient:
    """The gradient of a sum as one of its terms sees it: δ² is larger where the term makes the sum large, if it was."""
    seen = total(gradient, out)
    if part.constant or all(flow.factor.shape[1] == 1 for flow in gradient.values()):
        return gradient if not part.constant else seen.flow()
    squares = np.sum([flow.squares(out.values.shape) for flow in gradient.values()], axis=0)
    return with_factor(np.sqrt(latent.given_one(squares, out.values, term, other)), part, seen)


def sum_of(x: State, y: State, a: float, b: float, both: Array | None = None) -> State:
    """Of independent x and y, or of two with E x y of any two entries of one feature."""
    crossed = x.mean * y.mean if both is None else both

    def moment(k: Array, m: Array) -> Array:
        return np.asarray(a * a * k + b * b * m + 2 * a * b * crossed)

    total_ = a * a * x.second + b * b * y.second
    share = float(np.nan_to_num(np.mean(a * a * x.second / np.where(total_ > 0, total_, 1)), nan=0.5))
    state = gaussian(
        x.axes,
        x.sizes,
        a * x.mean + b * y.mean,
        moment(x.second, y.second),
        moment(x.across_positions, y.across_positions),
        moment(x.across_samples, y.across_samples),
        draws=together([(share, x.draws), (1 - share, y.draws)]),
        marks=x.marks | y.marks,
        profile=blended([x.profile, y.profile], [share, 1 - share]),
    )
    state = replace(state, shared=a * a * x.shared + b * b * y.shared)
    state = replace(state, scatter=share**2 * x.own_scatter + (1 - share) ** 2 * y.own_scatter)
    if x.marginal is not None or y.marginal is not None:
        values = latent.independent(lambda u, v: a * u + b * v, x.values, y.values)
        state = replace(state, marginal=latent.moved(values, state.mean, state.variance))
    return state.with_places(_places(x, y, a, b, moment)) if x.places or y.places else state


def _places(x: State, y: State, a: float, b: float, moment: Callable[[Array, Array], Array]) -> Places:
    """What samples have in common at one position, of independent terms."""
    both = [s.places or Places(s.across_samples, 1.0) for s in (x, y)]
    shares = [
        by * by * max(s.average(p.second - s.across_samples), 0.0)
        for by, s, p in zip((a, b), (x, y), both, strict=True)
    ]
    return Places(moment(*(p.second for p in both)), both[0].beside(both[1], shares))
