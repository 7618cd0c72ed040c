"""φ of one tensor, element by element.

A chain of such functions is one φ with one slope, as each is composed at the nodes of the latent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from fanin.activations import activation
from fanin.signals import latent
from fanin.signals.flow import scaled
from fanin.signals.latent import Array
from fanin.signals.rules.over_draws import Response
from fanin.signals.state import State
from fanin.signals.values import Call, NoRule, Outcome, Pulled

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
    if not math.isfinite(x.second.sum()):
        raise NoRule("the signal is not finite")
    over_draws, slopes = Response(x, function, derivative), None
    with np.errstate(all="ignore"):
        values, slope = _finite(over_draws.made), _finite(over_draws.slope)
        out = over_draws.of(x.of(values))
        if x.bins is not None:
            values, slopes = (_finite(x.bins.each(f)) for f in (function, derivative))
            out = out.binned(x.bins.of(values))

    def pull(gradients: Any) -> Pulled:
        with np.errstate(all="ignore"):
            back = over_draws.back(scaled(gradients[0], slope, slopes), gradients[0], slope, out)
        yield name, back

    return Outcome((out,), pull)


def _finite(values: Array) -> Array:
    """Where the nodes leave the domain of a function, as √x at x < 0, the nearest value it has.

    Raises:
        NoRule: outside the domain lies more than the tails.
    """
    finite = np.isfinite(values)
    if finite.all():
        return values
    bad = ~finite
    if (bad @ latent.WEIGHTS).max() > 0.05:
        raise NoRule("the function is not finite on what reaches it")
    fixed = values.copy()
    for row, wrong in zip(fixed, bad, strict=True):
        row[wrong] = np.interp(np.flatnonzero(wrong), np.flatnonzero(~wrong), row[~wrong])
    return fixed


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
