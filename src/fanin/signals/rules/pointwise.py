"""φ of one or more tensors, element by element.

Functions of one latent are composed at the nodes, so that a chain such as 0.5 x (1 + tanh(x + 0.04 x³)) is one φ with
one slope; tensors of different latents are taken for independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np

from fanin.activations import activation
from fanin.signals import latent
from fanin.signals.axes import Axes, shape_of
from fanin.signals.broadcast import as_state, common_axes, expanded, gathered
from fanin.signals.gradient import Gradient, Moments3, merged, scaled, swung, total, with_factor
from fanin.signals.latent import Array
from fanin.signals.state import State, aligned, gaussian
from fanin.signals.taps import blended
from fanin.signals.values import Call, Constant, NoRule, Outcome, Pulled, Weight, WeightGradient

Function = Callable[..., Array]


class Pointwise(NamedTuple):
    """A function of an array, and its derivative."""

    function: Function
    derivative: Function


def _flat(x: Array, *_: Any) -> Array:
    return np.zeros_like(np.asarray(x, dtype=np.float64))


POINTWISE: Final[Mapping[str, Pointwise]] = {
    "exp": Pointwise(np.exp, np.exp),
    "expm1": Pointwise(np.expm1, np.exp),
    "log": Pointwise(np.log, lambda x: 1 / x),
    "log1p": Pointwise(np.log1p, lambda x: 1 / (1 + x)),
    "sqrt": Pointwise(np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "rsqrt": Pointwise(lambda x: x**-0.5, lambda x: -0.5 * x**-1.5),
    "reciprocal": Pointwise(lambda x: 1 / x, lambda x: -1 / x**2),
    "abs": Pointwise(np.abs, np.sign),
    "square": Pointwise(np.square, lambda x: 2 * x),
    "cos": Pointwise(np.cos, lambda x: -np.sin(x)),
    "tan": Pointwise(np.tan, lambda x: 1 + np.tan(x) ** 2),
    "atan": Pointwise(np.arctan, lambda x: 1 / (1 + x**2)),
    "sign": Pointwise(np.sign, _flat),
    "floor": Pointwise(np.floor, _flat),
    "round": Pointwise(np.round, _flat),
}


def activated(call: Call) -> Outcome:
    """An activation of the table: the moments of φ, and of φ' for the gradient.

    References: He et al. 2015; Poole et al. 2016, eq. 3–5; Schoenholz et al. 2017, eq. 9.
    """
    named = call.node.activation
    assert named is not None  # the engine sends only activations here
    phi = activation(named.name, **named.parameters)
    return of_one(call, call.first, phi.function, phi.derivative)


def unary(call: Call) -> Outcome:
    """A function of `POINTWISE` of one tensor."""
    known = POINTWISE[call.node.op]
    return of_one(call, call.first, known.function, known.derivative)


def of_one(call: Call, name: str, function: Function, derivative: Function) -> Outcome:
    """A function of one tensor, by its values and slopes at the nodes of the latent."""
    x = call.state(name)
    if not np.isfinite(x.second).all():
        raise NoRule("the signal is not finite")
    with np.errstate(all="ignore"):
        values, slope = function(x.values), np.asarray(derivative(x.values), dtype=np.float64)
    values, slope = _finite(values), _finite(slope)
    out = _with_spread(x, x.of(values), slope)

    def pull(gradients: Any) -> Pulled:
        yield name, swung(scaled(gradients[0], slope), _swing(x, slope))

    return Outcome((out,), pull)


def _finite(values: Array) -> Array:
    """Where the nodes leave the domain of a function, as √x at x < 0, the nearest value it has.

    Raises:
        NoRule: outside the domain lies more than the tails.
    """
    bad = ~np.isfinite(values)
    if not bad.any():
        return values
    if (bad @ latent.WEIGHTS).max() > 0.05:
        raise NoRule("the function is not finite on what reaches it")
    fixed = values.copy()
    for row, wrong in zip(fixed, bad, strict=True):
        row[wrong] = np.interp(np.flatnonzero(wrong), np.flatnonzero(~wrong), row[~wrong])
    return fixed


def _with_spread(x: State, out: State, slope: Array) -> State:
    """η² Var log q, with η = d log E φ²/d log q; and its marks."""
    if not x.spread:
        return out
    with np.errstate(all="ignore"):
        eta = latent.expectation(x.values * out.values * slope) / out.second
    eta_mean = float(np.nan_to_num(out.shares @ eta, nan=1.0, posinf=1.0, neginf=1.0))
    return replace(out, spread=x.spread * eta_mean**2)


def _swing(x: State, slope: Array) -> float:
    """What one standard deviation of log q adds to log E φ'²: E (z² − 1) φ'²/(2 E φ'²) of it."""
    if not x.spread:
        return 0.0
    squares = slope**2
    size = float(x.shares @ latent.expectation(squares))
    eta = float(x.shares @ latent.expectation(squares * (latent.NODES**2 - 1))) / (2 * size) if size else 0.0
    return eta * math.sqrt(x.spread)


def power(call: Call) -> Outcome:
    """`pow(x, exponent)`."""
    exponent = call["exponent"]
    if not isinstance(exponent, (int, float)) or not isinstance(call["self"], State):
        raise NoRule("the exponent is a tensor")
    n = float(exponent)

    def slope(x: Array) -> Array:
        return n * np.power(x, n - 1) if n else np.zeros_like(x)

    return of_one(call, "self", lambda x: np.power(x, n), slope)


def clamp(call: Call) -> Outcome:
    """`clamp(x, min, max)`."""
    low, high = call["min"], call["max"]
    low = -math.inf if low is None else low
    high = math.inf if high is None else high
    if not (isinstance(low, (int, float)) and isinstance(high, (int, float))):
        raise NoRule("a bound is a tensor")
    return _clipped(call, call.first, float(low), float(high))


def _clipped(call: Call, name: str, low: float, high: float) -> Outcome:
    return of_one(call, name, lambda x: np.clip(x, low, high), lambda x: ((x >= low) & (x <= high)) * 1.0)


def negate(call: Call) -> Outcome:
    """−x."""
    return _affine(call, call.first, -1.0, 0.0)


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


def _affine(call: Call, name: str, by: float, shift: float) -> Outcome:
    out = call.state(name).scaled(by, shift)
    return Outcome((out,), lambda gradients: iter([(name, scaled(gradients[0], by))]))


def number_of(value: Any) -> float | None:
    """A scalar, whatever it is wrapped in."""
    if isinstance(value, (int, float)):
        return float(value)
    if (
        isinstance(value, Constant)
        and value.array.size
        and np.ptp(value.array) == 0
        and np.isfinite(value.array.flat[0])
    ):
        return float(value.array.flat[0])
    return None


def _two(call: Call, left: str, right: str, a: float, b: float) -> Outcome:
    """a·x + b·y."""
    for name, by, other, shift in ((left, a, right, b), (right, b, left, a)):
        number = number_of(call[other])
        if isinstance(call[name], State) and number is not None and call[name].axes and _covers(call[name], call):
            return _affine(call, name, by, shift * number)
    x, y, axes = _operands(call, left, right)
    ex, ey = aligned(expanded(x, axes), expanded(y, axes))
    if ex.root is ey.root:
        out = ex.of(a * ex.values + b * ey.values)
    elif ex.constant or ey.constant:
        kept, added, by, shift = (ex, ey, a, b) if ey.constant else (ey, ex, b, a)
        out = replace(kept.scaled(by, shift * float(added.mean[0])), axes=axes)
    elif _is_mean(ey, ex) and b == -a:
        return _without_mean(call, (left, x, ex), (right, y, ey), a)
    elif _steady(y, ey, ex):
        out = _shifted(ex, ey, a, b)
    elif _steady(x, ex, ey):
        out = _shifted(ey, ex, b, a)
    else:
        out = _sum(ex, ey, a, b)

    def pull(gradients: Any) -> Pulled:
        for name, operand, part, by, other, further in ((left, x, ex, a, ey, b), (right, y, ey, b, ex, a)):
            seen = gradients[0]
            if part.root is not out.root:
                seen = _seen_by(seen, out, part, by * part.values, further * other.values)
            yield from _pulled(call, name, operand, part, scaled(seen, by))

    return Outcome((out,), pull)


def _seen_by(gradient: Gradient, out: State, part: State, term: Array, other: Array) -> Gradient:
    """The gradient of a sum as one of its terms sees it: δ² is larger where the term makes the sum large, if it was."""
    seen = total(gradient, out)
    if part.constant or all(flow.factor.shape[1] == 1 for flow in gradient.values()):
        return gradient if not part.constant else seen.flow()
    squares = np.sum([flow.squares(out.values.shape) for flow in gradient.values()], axis=0)
    return with_factor(np.sqrt(latent.given_one(squares, out.values, term, other)), part, seen)


STEADY: Final = 0.25  # variance beside that of the other operand, or beside its own square: what still keeps the latent


def _steady(narrow: State, wide: State, other: State) -> bool:
    """Whether an operand is made of means over the other's entries, and varies little."""
    if narrow.root.averages is not other.root and (narrow.features > 1 or other.features == 1):
        return False
    return bool((wide.variance <= STEADY * np.maximum(other.variance, wide.mean**2)).all())


def _shifted(x: State, y: State, a: float, b: float) -> State:
    """a·x + b·y with a y that is nearly the same everywhere: still a function of the latent of x."""
    exact = _sum(x, replace(y, marginal=None), a, b)
    return replace(
        x.scaled(a, b * y.mean),
        second=exact.second,
        across_positions=exact.across_positions,
        across_samples=exact.across_samples,
        latents=None,
        spread=exact.spread,
        marks=exact.marks,
    )


def _is_mean(mean: State, x: State) -> bool:
    """Whether one operand is the mean of the other over some axes."""
    of = mean.mean_of
    return (
        of is not None
        and of.root is x.root
        and of.features == x.features
        and np.allclose(of.pooled().second, x.pooled().second)
    )


def _without_mean(call: Call, of: tuple[str, State, State], mean: tuple[str, State, State], a: float) -> Outcome:
    """`a (x − m)`, m the mean of x: E x m = E m², so that every moment is the difference of both; back δ − mean δ."""
    (left, x, ex), (right, m, em) = of, mean
    second = np.maximum(ex.second - em.second, 0.0)
    with np.errstate(all="ignore"):
        by = np.nan_to_num(np.sqrt(second / ex.variance), nan=0.0)
    out = replace(
        ex.scaled(a * by, -a * by * ex.mean),
        mean=a * (ex.mean - em.mean),
        second=a * a * second,
        across_positions=a * a * (ex.across_positions - em.across_positions),
        across_samples=a * a * (ex.across_samples - em.across_samples),
        latents=None,
    )
    n = ex.samples * ex.positions * ex.features / (m.samples * m.positions * m.features)

    def pull(gradients: Any) -> Pulled:
        gradient = scaled(gradients[0], a)
        back = gathered(gradient, em, m)
        if not isinstance(call[right], State):
            raise NoRule("a mean that is no signal")
        shared = total(back, m).times(1 / n**2)  # mean δ, which comes back through m with the wrong sign
        rows = len(ex.sizes)
        lost = Moments3(*(np.broadcast_to(-2 * k, rows) for k in _at_every_entry(shared, m, ex)))
        yield left, merged((gathered(gradient, ex, x), gathered(lost.flow(), ex, x)))
        yield right, back

    return Outcome((out,), pull)


def _at_every_entry(seen: Moments3, m: State, x: State) -> tuple[Array, Array, Array]:
    """Moments of one gradient for each mean, as those at the entries that made it."""
    rp, rb = x.positions / m.positions, x.samples / m.samples
    g, h, s = (
        np.array([m.average(k)]) if len(m.sizes) != len(x.sizes) else k
        for k in (seen.second, seen.across_positions, seen.across_samples)
    )
    if rp > 1:
        share = (rp - 1) / (x.positions - 1)
        h = share * g + (1 - share) * h
    if rb > 1:
        share = (rb - 1) / (x.samples - 1)
        s = share * (g + (x.positions - 1) * h) / x.positions + (1 - share) * s
    return g, h, s


def _sum(x: State, y: State, a: float, b: float) -> State:
    """Of independent x and y."""

    def moment(k: Array, m: Array) -> Array:
        return np.asarray(a * a * k + b * b * m + 2 * a * b * x.mean * y.mean)

    total_ = a * a * x.second + b * b * y.second
    share = float(np.nan_to_num(np.mean(a * a * x.second / np.where(total_ > 0, total_, 1)), nan=0.5))
    state = gaussian(
        x.axes,
        x.sizes,
        a * x.mean + b * y.mean,
        moment(x.second, y.second),
        moment(x.across_positions, y.across_positions),
        moment(x.across_samples, y.across_samples),
        spread=share**2 * x.spread + (1 - share) ** 2 * y.spread,
        marks=x.marks | y.marks,
        profile=blended([x.profile, y.profile], [share, 1 - share]),
    )
    if x.marginal is None and y.marginal is None:
        return state
    values = latent.independent(lambda u, v: a * u + b * v, x.values, y.values)
    return replace(state, marginal=latent.moved(values, state.mean, state.variance))


def multiply(call: Call) -> Outcome:
    """X · y: of one latent, exactly; else independent, each moment the product."""
    for name, other in (("self", "other"), ("other", "self")):
        number = number_of(call[other])
        if isinstance(call[name], State) and number is not None and _covers(call[name], call):
            return _affine(call, name, number, 0.0)
    x, y, axes = _operands(call, "self", "other")
    return _product(call, x, y, axes)


def divide(call: Call) -> Outcome:
    """X / y: the product of x and 1/y, y bounded away from 0."""
    if call.get("rounding_mode", None) is not None:
        raise NoRule("the quotient is rounded")
    number = number_of(call["other"])
    if number and isinstance(call["self"], State):
        return _affine(call, "self", 1 / number, 0.0)
    x, y, axes = _operands(call, "self", "other")
    return _product(call, x, y, axes, inverse=True)


def _product(call: Call, x: State, y: State, axes: Axes, *, inverse: bool = False) -> Outcome:
    """X · y, or x / y."""
    ex, own = aligned(expanded(x, axes), expanded(y, axes))
    ey = own.of(_inverse(own.values)) if inverse else own
    together = ex.root is ey.root and not (ex.constant or ey.constant)
    kept = (ex, ey) if _steady(y, ey, ex) else (ey, ex) if _steady(x, ex, ey) else None
    if together:
        out = ex.of(ex.values * ey.values)
    elif ex.constant or ey.constant:
        varied, factor = (ex, ey) if ey.constant else (ey, ex)
        out = replace(varied.scaled(float(factor.mean[0])), axes=axes)
    elif kept is not None:
        out = _stretched(*kept)
    else:
        out = _independent_product(ex, ey)

    def pull(gradients: Any) -> Pulled:
        (gradient,) = gradients
        for name, operand, part, other in (("self", x, ex, ey), ("other", y, ey, ex)):
            if together or other.constant:
                back = scaled(gradient, other.values if together else float(other.mean[0]))
            elif kept is not None and part is kept[0]:
                back = scaled(gradient, np.sqrt(other.second)[:, None])
            elif part.constant or kept is not None:  # δ and the other operand may be functions of one latent
                back = total(scaled(gradient, other.values), other).flow()
            else:
                back = times(total(gradient, out), other).flow()
            if inverse and name == "other":
                back = scaled(back, -(_inverse(own.values) ** 2))
            yield from _pulled(call, name, operand, part, back)

    return Outcome((out,), pull)


def larger(call: Call) -> Outcome:
    """`maximum(x, y)`, and `minimum(x, y)` as −max(−x, −y): back to whichever it is."""
    sign = 1.0 if call.node.op in ("maximum", "max") else -1.0
    for name, other in (("self", "other"), ("other", "self")):
        bound = number_of(call[other])
        if isinstance(call[name], State) and bound is not None and _covers(call[name], call):
            low, high = (bound, math.inf) if sign > 0 else (-math.inf, bound)
            return _clipped(call, name, low, high)
    x, y, axes = _operands(call, "self", "other")
    ex, ey = aligned(expanded(x, axes), expanded(y, axes))
    if ex.root is ey.root:
        first = (sign * ex.values >= sign * ey.values) * 1.0
        out = ex.of(np.where(first > 0, ex.values, ey.values))
        backs = [lambda gradient, share=share: scaled(gradient, share) for share in (first, 1 - first)]
    else:
        out = _larger_of_independent(ex, ey, sign)
        difference = _sum(replace(ex, marginal=None), replace(ey, marginal=None), sign, -sign)
        taken = difference.of((difference.values >= 0) * 1.0)
        shares = (taken, taken.scaled(-1.0, 1.0))
        backs = [lambda gradient, share=share: times(total(gradient, out), share).flow() for share in shares]

    def pull(gradients: Any) -> Pulled:
        for name, operand, part, back in zip(("self", "other"), (x, y), (ex, ey), backs, strict=True):
            yield from _pulled(call, name, operand, part, back(gradients[0]))

    return Outcome((out,), pull)


def times(seen: Moments3, other: State) -> Moments3:
    """Of the product with an independent state."""
    return Moments3(
        seen.second * other.second,
        seen.across_positions * other.across_positions,
        seen.across_samples * other.across_samples,
    )


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
        spread=max(x.spread, y.spread),
        marks=x.marks | y.marks,
    )
    return replace(state, marginal=values)


RARE: Final = 1e-3  # of a divisor's entries may lie on the other side of 0, or next to it


def _inverse(values: Array) -> Array:
    """1/x of an x that is bounded away from 0, but for what is rare.

    Raises:
        NoRule: it is not.
    """
    side = np.sign(np.median(values, axis=1, keepdims=True))
    size = np.sort(side * values, axis=1)
    order = np.argsort(side * values, axis=1)
    below = np.cumsum(latent.WEIGHTS[order], axis=1)
    bound = np.stack([row[np.searchsorted(mass, RARE)] for row, mass in zip(size, below, strict=True)])[:, None]
    if (bound <= 0).any():
        raise NoRule("the divisor may be 0")
    return np.asarray(side / np.maximum(side * values, bound))


def _stretched(x: State, y: State) -> State:
    """X · y with a y that is nearly the same everywhere: still a function of the latent of x.

    Where y is made of means over entries of x, each is part of it: to the order 1/n that cancels what y varies.
    """
    second, positions, samples = y.second, y.across_positions, y.across_samples
    if y.root.averages is x.root:
        second = positions = samples = _median(y) ** 2
    return replace(
        x.scaled(np.sqrt(second) * np.sign(y.mean)),
        mean=x.mean * np.sqrt(second) * np.sign(y.mean),
        second=x.second * second,
        across_positions=x.across_positions * positions,
        across_samples=x.across_samples * samples,
        latents=None,
        spread=x.spread + y.spread,
        marks=x.marks | y.marks,
    )


def _median(y: State) -> Array:
    middle = latent.COUNT // 2
    return np.asarray(y.values[:, middle - 1 : middle + 1].mean(1))


def _independent_product(x: State, y: State) -> State:
    out = gaussian(
        x.axes,
        x.sizes,
        x.mean * y.mean,
        x.second * y.second,
        x.across_positions * y.across_positions,
        x.across_samples * y.across_samples,
        spread=x.spread + y.spread,
        marks=x.marks | y.marks,
        profile=x.profile or y.profile,
    )
    values = latent.independent(lambda u, v: u * v, x.values, y.values)
    return replace(out, marginal=latent.moved(values, out.mean, out.variance))


def _covers(state: State, call: Call) -> bool:
    """Whether the other operand's broadcasting leaves this one's shape as it is."""
    return shape_of(state.axes) == tuple(call.node.shape)


def _operands(call: Call, left: str, right: str) -> tuple[State, State, Axes]:
    """Both as states, and the axes of the result."""
    a, b = call[left], call[right]
    known = [v for v in (a, b) if isinstance(v, State)]
    if not known:
        raise NoRule("no operand is a signal")
    axes = common_axes(known, tuple(call.node.shape))
    x, y = (as_state(v, axes) for v in (a, b))
    axes = common_axes([x, y] if isinstance(a, State) else [y, x], tuple(call.node.shape))
    return x, y, axes


def _pulled(call: Call, name: str, operand: State, part: State, gradient: Gradient) -> Pulled:
    """What comes back to an operand, through its repeats; of a parameter, only how large it is."""
    value = call[name]
    if isinstance(value, State):
        yield name, gathered(gradient, part, operand)
    elif isinstance(value, Weight):
        back = gathered(gradient, part, operand)
        seen = total(back, operand)
        yield name, WeightGradient(operand.average(seen.second))
