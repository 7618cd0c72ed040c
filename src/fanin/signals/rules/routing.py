"""Mixtures of experts: tokens are sorted by the expert that they have chosen, and go through the weights of that.

What is chosen is integers of which only this is known: what their axes count, how many each token makes, and how
likely two are the same. The tokens of one expert are taken for a random part of all: gathering keeps their moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fanin.signals.axes import Axis, Kind, axis, count, kinds_of, reshaped, size_of, usual
from fanin.signals.distribution import Root
from fanin.signals.flow import Gradient
from fanin.signals.gradient import total
from fanin.signals.propagate import Rule
from fanin.signals.state import State, gaussian
from fanin.signals.values import (
    Call,
    Choices,
    Constant,
    NoRule,
    Outcome,
    Pulled,
    Unknown,
    Weight,
    WeightGradient,
    nothing,
)

RANDOM: Final = "the tokens of one expert are taken for a random part of all"


@dataclass(frozen=True, eq=False)
class Routed:
    """A note: the tensor holds tokens for experts, each `each` times; an expert has not touched it yet."""

    each: int


def or_of_integers(rule: Rule | None) -> Rule:
    """The rule, and `same_integers` where what is known of all tensors is that they hold integers."""

    def chosen(call: Call) -> Outcome:
        tensors = call.values.values()
        if any(isinstance(v, Unknown) for v in tensors) and not any(isinstance(v, (State, Weight)) for v in tensors):
            return same_integers(call)
        if rule is None:
            raise NoRule("it has a rule for choices only")
        return rule(call)

    return chosen


def same_integers(call: Call) -> Outcome:
    """Other integers made of these, or these in another order or shape: as likely the same as they were.

    `view` and the like, `sort`, `floor_divide`, `histc`, `cumsum`, `index_put`.
    """
    known = [v for v in call.values.values() if isinstance(v, Unknown)]
    first = known[0]
    for value in known[1:]:
        first = first if first.choices else replace(first, choices=value.choices, axes=value.axes)
    shapes = call.node.shapes or (call.node.shape,)
    return Outcome(tuple(_in_shape(first, tuple(shape), call.node.dtype) for shape in shapes), nothing)


def _in_shape(of: Unknown, shape: tuple[int, ...], dtype: str) -> Unknown:
    axes = reshaped(of.axes, shape)
    return replace(of, shape=shape, dtype=dtype, axes=axes if axes is not None else usual(shape))


def gathered(call: Call, generic: Rule) -> Outcome:
    """`x[ids]` along samples and positions, by what tokens have chosen: each so many times, or in another order.

    A token's choices count as so many positions. Back, they have gone through different weights: g' = r g.
    """
    ids = call["indices.0"]
    if not isinstance(ids, Unknown) or not ids.choices or call["indices.1"] is not None or len(ids.shape) > 1:
        return generic(call)
    x = call.state("self")
    whole = _choices_as_positions(x)
    repeats = ids.shape[0] / size_of(whole.axes[0])
    axes = (_longer(whole.axes[0], ids.shape[0]), *whole.axes[1:])
    to = count(axes, Kind.POSITION)
    rest = max(to - repeats, 1)  # of the pairs of positions, those of two tokens
    positions = ((repeats - 1) * whole.second + rest * whole.across_positions) / max(to - 1, 1)
    out = replace(whole, axes=axes, across_positions=positions, latents=None).marked(RANDOM)
    if repeats > 1:
        out = out.noted(Routed(ids.choices.each))

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out).scaled(repeats, repeats**2 * max(to - 1, 1) / rest, repeats**2)
        alike = len(out.sizes) == len(x.sizes)
        yield "self", (seen if alike else seen.each(lambda m: np.full(len(x.sizes), out.average(m)))).flow()

    return Outcome((out,), pull)


def _choices_as_positions(x: State) -> State:
    """Without features along the first axis: what they have in common is their mean."""
    own = count(x.axes[:1], Kind.FEATURE)
    if own == 1:
        return x
    p, mean, rest = x.positions, x.average(x.mean), x.features // own
    positions, samples = x.average(x.across_positions), x.average(x.across_samples)
    first = tuple((Kind.POSITION if kind is Kind.FEATURE else kind, size) for kind, size in x.axes[0])
    pooled = x.pooled([rest])
    return replace(
        pooled,
        axes=(first, *x.axes[1:]),
        across_positions=np.array([((p - 1) * positions + (own - 1) * p * mean**2) / (p * own - 1)]),
        across_samples=np.array([(samples + (own - 1) * mean**2) / own]),
        latents=None,
        root=Root(),
    )


def _longer(own: Axis, length: int) -> Axis:
    samples = count([own], Kind.SAMPLE)
    if length % samples:
        raise NoRule("samples get different numbers of places")
    return (*axis(Kind.SAMPLE, samples), *axis(Kind.POSITION, length // samples))


def grouped_product(call: Call) -> Outcome:
    """`grouped_mm(x, W, offs)`: each token through the matrix of its expert, q' = n Var(w) q.

    Two tokens have something in common afterwards only if they chose the same expert: k' = n Var(w) E[same · x x'].
    Before the first product what x is does not depend on the choice; what comes back to the last does not, either.
    """
    x = call.state("input" if "input" in call.values else "self")
    name = "weight" if "weight" in call.values else "mat2"
    weight, offsets = call[name], call["offs"]
    if not isinstance(weight, Weight) or len(weight.shape) != 3 or call["bias"] is not None:
        raise NoRule("the weights are no stack of matrices, or have biases")
    experts, n_in, n_out = weight.shape
    choices = getattr(offsets, "choices", None) or Choices(1, 1 / experts, 1 / experts)
    second = float(weight.sizes @ weight.second / weight.sizes.sum())
    share = (x.positions - choices.each) / max(x.positions - 1, 1)  # of pairs of positions, those of two tokens
    alike = (share * choices.positions, choices.samples)
    q, k, s, mean = (x.average(m) for m in (x.second, x.across_positions, x.across_samples, x.mean))
    first = isinstance(x.note, Routed)
    if first:
        of_two = (_of_two(q, k, share), s)
        together = (alike[0] * of_two[0], alike[1] * s)  # E[same · x x'] over all pairs
    else:  # experts have made it: two that chose differently have only their means in common
        together = (k - (1 - alike[0]) * mean**2, s - (1 - alike[1]) * mean**2)
    by = n_in * second
    axes = (*x.axes[:-1], axis(Kind.FEATURE, n_out))
    out = gaussian(axes, [n_out], 0.0, *(by * m for m in (q, *together)), draws=x.drawn, marks=x.marks)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        g, h, r = (out.average(m) for m in (seen.second, seen.across_positions, seen.across_samples))
        if first:
            back, pairs = (h, r), (of_two[0] * h, of_two[1] * r)
        else:
            h = _of_two(g, h, share)
            back, pairs = (alike[0] * h, alike[1] * r), (together[0] * h, together[1] * r)
        one = n_out * second * np.ones(len(x.sizes))
        yield call.first, seen.behind_weights(out).become(*(one * m for m in (g, *back))).flow()
        n, p = out.samples * out.positions, out.positions
        squares = q * g + (p - 1) * pairs[0] + (n - p) * pairs[1]
        yield name, WeightGradient(max(n * squares / experts, 0.0))

    return Outcome((out,), pull)


def _of_two(own: float, all_pairs: float, share: float) -> float:
    """The product of two tokens, where what one token has at its places is the same."""
    return (all_pairs - (1 - share) * own) / share if share > 0 else own


def scatter(call: Call) -> Outcome:
    """`scatter(0, dim, ids, x)` along features: C features, of which each token has those that it chose, the rest 0."""
    into, ids, x = call["self"], call["index"], call.state("src")
    if not (isinstance(into, Constant) and not into.array.any() and isinstance(ids, Unknown) and ids.choices):
        raise NoRule("it does not put chosen features into zeros")
    dim = int(call["dim"]) % len(x.axes)
    if kinds_of(x.axes[dim]) != {Kind.FEATURE} or x.features != ids.choices.each:
        raise NoRule("it is not along features")
    c, k, same, one = into.array.shape[dim], ids.choices.each, ids.choices[1:], x.pooled()
    axes = (*x.axes[:dim], axis(Kind.FEATURE, c), *x.axes[dim + 1 :])
    share, both = k / c, [k**2 / c * p for p in same]
    moments = (share * one.second, both[0] * one.across_positions, both[1] * one.across_samples)
    out = gaussian(axes, [c], share * one.mean, *moments, draws=x.draws, marks=x.marks)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out).scaled(1.0, *same)
        yield "src", seen.each(lambda m: np.full(len(x.sizes), out.average(m))).flow()

    return Outcome((out,), pull)
