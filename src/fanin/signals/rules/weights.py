"""Weights that are computed from parameters: scaled, standardised, normalised. Their law follows; they stay weights.

Elements are taken for independent: what a mean or a norm over n of them has in common with one is of order 1/n.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from fanin.initializers import Structure
from fanin.signals import latent
from fanin.signals.propagate import Rule
from fanin.signals.rules.operands import number_of
from fanin.signals.rules.pointwise import POINTWISE
from fanin.signals.state import State
from fanin.signals.values import Call, NoRule, Outcome, Pulled, Weight, WeightGradient

STEADY: Final = 0.25  # variance beside the square of the mean


def or_of_weights(rule: Rule, of_weights: Rule) -> Rule:
    """The first rule, and the second where all tensors are weights or numbers, and one is a weight."""

    def chosen(call: Call) -> Outcome:
        values = call.values.values()
        only = any(isinstance(v, Weight) for v in values) and not any(isinstance(v, State) for v in values)
        return of_weights(call) if only else rule(call)

    return chosen


def same(call: Call) -> Outcome:
    """`clone`, a cast: the weight itself."""
    return _one(call, call[call.first], 1.0)


def viewed(call: Call) -> Outcome:
    """A weight in another shape."""
    weight = call[call.first]
    return _one(call, weight.seen(tuple(call.node.shape), None) if isinstance(weight, Weight) else weight, 1.0)


def negated(call: Call) -> Outcome:
    """−w."""
    weight = call[call.first]
    if isinstance(weight, Weight):
        marginal = None if weight.marginal is None else -weight.marginal
        weight = replace(weight, mean=-weight.mean, marginal=marginal)
    return _one(call, weight, 1.0)


def of_elements(call: Call) -> Outcome:
    """F(w), element by element, for w taken for Gaussian: what rates and temperatures are made of."""
    weight, known = call[call.first], POINTWISE[call.node.op]
    if not isinstance(weight, Weight):
        raise NoRule("no weight takes part")
    at = weight.marginal
    if at is None:
        at = weight.mean[:, None] + np.sqrt(weight.variance)[:, None] * latent.NODES
    with np.errstate(all="ignore"):
        values, slope = known.function(at), known.derivative(at)
    if not (np.isfinite(values).all() and np.isfinite(slope).all()):
        raise NoRule("the function is not finite on the weight")
    mean = latent.expectation(values)
    variance = np.maximum(latent.expectation(values**2) - mean**2, 0.0)
    found = replace(weight, mean=mean, variance=variance, marginal=values)
    return _one(call, found, float(latent.expectation(slope**2).mean()))


def of_steady(call: Call) -> Outcome:
    """√w and 1/√w of what is nearly the same everywhere, as a variance over a filter is: that of its mean.

    Raises:
        NoRule: it is not.
    """
    weight = call[call.first]
    if not isinstance(weight, Weight) or (weight.mean <= 0).any() or (weight.variance > STEADY * weight.mean**2).any():
        raise NoRule("the weight may be anything, near 0 included")
    power = 0.5 if call.node.op == "sqrt" else -0.5
    slope = power * weight.mean ** (power - 1)
    found = replace(weight, mean=weight.mean**power, variance=slope**2 * weight.variance)
    return _one(call, found, float((slope**2).mean()))


def product(call: Call) -> Outcome:
    """`mul` and `div` of a weight and a number, or of two weights: E w² is the product."""
    inverse = call.node.op == "div"
    for name, other in (("self", "other"), ("other", "self")):
        number, weight = number_of(call[other]), call[name]
        if number is not None and isinstance(weight, Weight) and not (inverse and name == "other"):
            by = 1 / number if inverse else number
            scaled = replace(weight, mean=by * weight.mean, variance=by**2 * weight.variance)
            return _one(call, scaled, by**2, name)
    x, y = call["self"], call["other"]
    if not (isinstance(x, Weight) and isinstance(y, Weight)):
        raise NoRule("a weight times numbers that differ")
    mean_x, second_x, mean_y, second_y = (*_moments(x), *_moments(y))
    if inverse:
        if mean_y == 0 or second_y > 1.5 * mean_y**2:
            raise NoRule("the divisor may be 0")
        mean_y, second_y = 1 / mean_y, 1 / mean_y**2
    of_units = any(a.centred and math.prod(b.shape) <= a.shape[0] for a, b in ((x, y), (y, x)))  # one number a unit
    out = replace(_weight(call, mean_x * mean_y, second_x * second_y), centred=of_units)
    repeats = [math.prod(out.shape) / max(math.prod(w.shape), 1) for w in (x, y)]

    def pull(gradients: Sequence[Any]) -> Pulled:
        (gradient,) = gradients
        yield "self", WeightGradient(gradient.second * second_y * repeats[0])
        yield "other", WeightGradient(gradient.second * second_x * repeats[1] * (second_y**2 if inverse else 1.0))

    return Outcome((out,), pull)


def total(call: Call) -> Outcome:
    """`add` and `sub` of weights, and of a weight and a number."""
    alpha = float(call.get("alpha", 1.0)) * (-1 if call.node.op == "sub" else 1)
    terms = []
    for name, by in (("self", 1.0), ("other", alpha)):
        value = call[name]
        number = number_of(value)
        mean, second = (number, number**2) if number is not None else _moments(value)
        terms.append((name, value, by, mean, second))
    mean = sum(by * m for *_, by, m, _ in terms)
    variance = sum(by**2 * (q - m**2) for *_, by, m, q in terms)
    left, right = call["self"], call["other"]
    centred = alpha == -1 and isinstance(right, Weight) and isinstance(left, Weight) and right.mean_of == left.path
    if centred:  # w − w̄ of n weights has the variance (1 − 1/n) Var w
        variance -= 2 * (terms[1][-1] - terms[1][-2] ** 2)
    out = replace(_weight(call, mean, variance + mean**2), centred=centred)

    def pull(gradients: Sequence[Any]) -> Pulled:
        for name, value, by, *_ in terms:
            if isinstance(value, Weight):
                repeats = math.prod(out.shape) / max(math.prod(value.shape), 1)
                yield name, WeightGradient(gradients[0].second * by**2 * repeats)

    return Outcome((out,), pull)


def reduced(call: Call) -> Outcome:
    """`mean`, `sum`, `var`, `std` and norms over n elements: nearly a constant where n is large."""
    weight = call[call.first]
    mean, second = _moments(weight)
    out_size = max(math.prod(call.node.shape), 1)
    n = math.prod(weight.shape) / out_size
    variance = second - mean**2
    op = call.node.op
    if op in ("mean", "sum"):
        by = 1.0 if op == "mean" else n
        out = _weight(call, by * mean, by**2 * (mean**2 + variance / n))
        out = replace(out, mean_of=weight.path if op == "mean" and math.prod(out.shape) == weight.shape[0] else "")
        slope = (by / n) ** 2
    else:
        correction = call["correction"] if call["correction"] is not None else float(call.get("unbiased", True))
        seen = variance * (n - 1) / max(n - correction, 1.0)  # of a sample of n
        size = {"var": seen, "std": seen**0.5}.get(op, (n * second) ** 0.5)
        slope = {"var": 4 * variance / n**2, "std": 1 / n**2}.get(op, 1 / n)
        out = _weight(call, size, size**2)
    return Outcome((out,), _pull(call.first, slope))


def weight_norm(call: Call) -> Outcome:
    """`_weight_norm(v, g, dim)`: w = g v/‖v‖, so that E w² = E g²/n.

    Reference: Salimans & Kingma 2016.
    """
    v, g = call["v"], call["g"]
    if not (isinstance(v, Weight) and isinstance(g, Weight)):
        raise NoRule("it is no parameter that is normalised")
    n = math.prod(v.shape) / max(math.prod(g.shape), 1)
    mean_v, second_v = _moments(v)
    mean_g, second_g = _moments(g)
    size = (n * second_v) ** 0.5 or 1.0
    out = replace(_weight(call, mean_g * mean_v / size, second_g / n), structure=v.structure)

    def pull(gradients: Sequence[Any]) -> Pulled:
        (gradient,) = gradients
        yield "v", WeightGradient(gradient.second * second_g / size**2 * (1 - 1 / n))
        yield "g", WeightGradient(gradient.second)

    return Outcome((out, *[g] * (len(call.node.shapes) - 1)), pull)


def _one(call: Call, weight: Any, by: float, name: str | None = None) -> Outcome:
    if not isinstance(weight, Weight):
        raise NoRule("no weight takes part")
    return Outcome((weight,), _pull(name or call.first, by))


def _pull(name: str, by: float) -> Any:
    """E (∂loss/∂w)² times a number."""

    def pull(gradients: Sequence[Any]) -> Pulled:
        yield name, WeightGradient(gradients[0].second * by)

    return pull


def _moments(weight: Any) -> tuple[float, float]:
    """E w and E w² over all elements."""
    if not isinstance(weight, Weight):
        raise NoRule("a weight meets numbers that differ")
    share = weight.sizes / weight.sizes.sum()
    return float(share @ weight.mean), float(share @ weight.second)


def _weight(call: Call, mean: float, second: float) -> Weight:
    shape = tuple(call.node.shape)
    rows = np.array([shape[0] if shape else 1])
    variance = np.array([max(second - mean**2, 0.0)])
    return Weight(call.node.name, shape, np.array([mean]), variance, rows, Structure.INDEPENDENT)
