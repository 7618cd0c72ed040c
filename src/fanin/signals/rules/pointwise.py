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
from fanin.signals.gradient import Gradient, GradientMoments, scaled, swung, total, with_factor
from fanin.signals.latent import Array
from fanin.signals.rules.pointwise_bins import both_in_bins, multiplied_in_bins, summed_in_bins, times_in_bins
from fanin.signals.rules.steady import also_lost, is_mean, is_steady, shifted, stretched, without_mean
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
    out, slopes = _with_spread(x, x.of(values), slope), None
    if x.bins is not None:
        with np.errstate(all="ignore"):
            by_bin = x.bins.each(function), x.bins.each(derivative)
        values, slopes = (_finite(v) for v in by_bin)
        out = out.binned(x.bins.of(values))

    def pull(gradients: Any) -> Pulled:
        yield name, swung(scaled(gradients[0], slope, slopes), _swing(x, slope))

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
    return clipped(call, call.first, float(low), float(high))


def clipped(call: Call, name: str, low: float, high: float) -> Outcome:
    """Low where x is below it, high where it is above."""
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
    x = call.state(name)
    out = x.scaled(by, shift).binned(x.bins and x.bins.scaled(by, shift))
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
        if isinstance(call[name], State) and number is not None and call[name].axes and covers(call[name], call):
            return _affine(call, name, by, shift * number)
    x, y, axes = operands(call, left, right)
    ex, ey = aligned(expanded(x, axes), expanded(y, axes))
    centred = b == -a and is_mean(ey, ex)
    if ex.root is ey.root:
        out = ex.of(a * ex.values + b * ey.values)
    elif ex.constant or ey.constant:
        kept, added, by, shift = (ex, ey, a, b) if ey.constant else (ey, ex, b, a)
        out = replace(kept.scaled(by, shift * float(added.mean[0])), axes=axes)
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


def _seen_by(gradient: Gradient, out: State, part: State, term: Array, other: Array) -> Gradient:
    """The gradient of a sum as one of its terms sees it: δ² is larger where the term makes the sum large, if it was."""
    seen = total(gradient, out)
    if part.constant or all(flow.factor.shape[1] == 1 for flow in gradient.values()):
        return gradient if not part.constant else seen.flow()
    squares = np.sum([flow.squares(out.values.shape) for flow in gradient.values()], axis=0)
    return with_factor(np.sqrt(latent.given_one(squares, out.values, term, other)), part, seen)


def sum_of(x: State, y: State, a: float, b: float) -> State:
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
        if isinstance(call[name], State) and number is not None and covers(call[name], call):
            return _affine(call, name, number, 0.0)
    x, y, axes = operands(call, "self", "other")
    return _product(call, x, y, axes)


def divide(call: Call) -> Outcome:
    """X / y: the product of x and 1/y, y bounded away from 0."""
    if call.get("rounding_mode", None) is not None:
        raise NoRule("the quotient is rounded")
    number = number_of(call["other"])
    if number and isinstance(call["self"], State):
        return _affine(call, "self", 1 / number, 0.0)
    x, y, axes = operands(call, "self", "other")
    return _product(call, x, y, axes, inverse=True)


def _product(call: Call, x: State, y: State, axes: Axes, *, inverse: bool = False) -> Outcome:
    """X · y, or x / y."""
    ex, own = aligned(expanded(x, axes), expanded(y, axes))
    ey = own.of(_inverse(own.values)) if inverse else own
    bins = both_in_bins((call["self"], call["other"]), (ex, own))
    slopes = None
    if inverse and bins is not None:
        inverted = _inverse(bins[1].at_nodes)
        bins, slopes = (bins[0], bins[1].of(inverted)), -(inverted**2)
        ey = ey.binned(bins[1])
    together = ex.root is ey.root and not (ex.constant or ey.constant)
    moved = (ex, ey) if is_steady(y, ey, ex) else (ey, ex) if is_steady(x, ex, ey) else None
    if together:
        out = ex.of(ex.values * ey.values)
    elif ex.constant or ey.constant:
        kept, factor = (ex, ey) if ey.constant else (ey, ex)
        out = replace(kept.scaled(float(factor.mean[0])), axes=axes)
    elif moved is not None:
        out = stretched(*moved)
    else:
        out = _independent_product(ex, ey)
    out = out.binned(multiplied_in_bins(ex, ey, out, bins))

    def pull(gradients: Any) -> Pulled:
        (gradient,) = gradients
        for name, operand, part, other in (("self", x, ex, ey), ("other", y, ey, ex)):
            by_bin = None if bins is None else bins[name == "self"]
            at_nodes = None if by_bin is None else by_bin.at_nodes
            if together or other.constant:
                back = scaled(gradient, other.values if together else float(other.mean[0]), at_nodes)
            elif moved is not None and part is moved[0]:
                sizes = None if by_bin is None else np.sqrt(by_bin.second)[:, None]
                back = scaled(gradient, np.sqrt(other.second)[:, None], sizes)
            elif part.constant or moved is not None:  # δ and the other operand may be functions of one latent
                back = total(scaled(gradient, other.values, at_nodes), other).flow()
            elif by_bin is not None:
                back = times_in_bins(total(gradient, out), out, by_bin).flow()
            else:
                back = times(total(gradient, out), other).flow()
            if inverse and name == "other":
                back = scaled(back, -(_inverse(own.values) ** 2), slopes)
            yield from pulled(call, name, operand, part, back)

    return Outcome((out,), pull)


def times(seen: GradientMoments, other: State) -> GradientMoments:
    """Of the product with an independent state."""
    return seen.scaled(other.second, other.across_positions, other.across_samples)


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


def covers(state: State, call: Call) -> bool:
    """Whether the other operand's broadcasting leaves this one's shape as it is."""
    return shape_of(state.axes) == tuple(call.node.shape)


def operands(call: Call, left: str, right: str) -> tuple[State, State, Axes]:
    """Both as states, and the axes of the result."""
    a, b = call[left], call[right]
    known = [v for v in (a, b) if isinstance(v, State)]
    if not known:
        raise NoRule("no operand is a signal")
    axes = common_axes(known, tuple(call.node.shape))
    x, y = (as_state(v, axes) for v in (a, b))
    axes = common_axes([x, y] if isinstance(a, State) else [y, x], tuple(call.node.shape))
    return x, y, axes


def pulled(call: Call, name: str, operand: State, part: State, gradient: Gradient) -> Pulled:
    """What comes back to an operand, through its repeats; of a parameter, only how large it is."""
    value = call[name]
    if isinstance(value, State):
        yield name, gathered(gradient, part, operand)
    elif isinstance(value, Weight):
        back = gathered(gradient, part, operand)
        seen = total(back, operand)
        yield name, WeightGradient(operand.average(seen.second))
