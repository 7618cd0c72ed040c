"""Masks, gates and mixtures: some entries pass, and how many is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fanin.graph import Ref
from fanin.signals.axes import Axes, Kind, count, size_of, usual
from fanin.signals.broadcast import as_state, common_axes, expanded, gathered
from fanin.signals.flow import Gradient, scaled
from fanin.signals.gradient import total
from fanin.signals.latent import Array
from fanin.signals.rules.composed import Step, composed, given
from fanin.signals.rules.operands import number_of, times
from fanin.signals.rules.pointwise import of_one
from fanin.signals.state import State, aligned, gaussian
from fanin.signals.values import Call, Constant, NoRule, Outcome, Pulled, Weight, WeightGradient, nothing


def glu(call: Call) -> Outcome:
    """`glu(x, dim)`: a · σ(b) of two halves, q' = q_a E σ(b)².  Reference: Dauphin et al. 2017."""
    x = call.state("self")
    shape = tuple(call.node.shape)
    dim = call.get("dim", -1)
    half = size_of(x.axes[dim % len(x.axes)]) // 2
    steps = [
        Step("a", "slice", shape, {"self": given("self"), "dim": dim, "start": 0, "end": half}),
        Step("b", "slice", shape, {"self": given("self"), "dim": dim, "start": half, "end": 2 * half}),
        Step("gate", "sigmoid", shape, {"self": Ref("b", 0, shape)}, "sigmoid"),
        Step("out", "mul", shape, {"self": Ref("a", 0, shape), "other": Ref("gate", 0, shape)}),
    ]
    return composed(call, steps, ["out"])


def threshold(call: Call) -> Outcome:
    """`threshold(x, t, value)`: x above t, else the value."""
    low, value = float(call["threshold"]), float(call["value"])
    return of_one(call, call.first, lambda x: np.where(x > low, x, value), lambda x: (x > low) * 1.0)


def prelu(call: Call) -> Outcome:
    """`prelu(x, a)` with a learned slope; back to it E (Σ δ min(x, 0))².  Reference: He et al. 2015, eq. 2."""
    x, slope = call.state("self"), call["weight"]
    if not isinstance(slope, Weight):
        raise NoRule("the slope is no parameter")
    a = float(np.mean(slope.mean))
    outcome = of_one(call, "self", lambda v: np.where(v > 0, v, a * v), lambda v: np.where(v > 0, 1.0, a))
    below = x.of(np.minimum(x.values, 0.0))
    shared = x.features if slope.shape in ((), (1,)) else 1  # features that have the slope in common

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        yield from outcome.pull(gradients)
        seen = total(gradients[0], outcome.values[0])  # type: ignore[arg-type]
        product = times(seen, below)
        yield "weight", WeightGradient(max(shared * product.summed(x), 0.0))

    return Outcome(outcome.values, pull)


def compare(call: Call) -> Outcome:
    """`gt`, `lt`, …: of a signal and a number, 1 where it holds. No gradient passes."""
    x, number = call.state("self"), number_of(call["other"])
    if number is None:
        raise NoRule("two signals are compared")
    holds = {
        "gt": np.greater,
        "ge": np.greater_equal,
        "lt": np.less,
        "le": np.less_equal,
        "eq": np.equal,
        "ne": np.not_equal,
    }
    return Outcome((x.of(holds[call.node.op](x.values, number) * 1.0),), nothing)


def logical_not(call: Call) -> Outcome:
    """1 − x of a condition."""
    return Outcome((call.state(call.first).scaled(-1.0, 1.0),), nothing)


def where(call: Call) -> Outcome:
    """`where(c, x, y)`: c x + (1 − c) y; a known condition counts by how often it holds, alone and in pairs."""
    return _choose(call, call["condition"], "self", "other")


def masked_fill(call: Call) -> Outcome:
    """`masked_fill(x, mask, value)`: the value where the mask holds."""
    return _choose(call, call["mask"], "value", "self")


def _choose(call: Call, condition: Any, chosen: str, otherwise: str) -> Outcome:
    known = [v for v in (call[chosen], call[otherwise]) if isinstance(v, State)]
    if not known:
        raise NoRule("neither choice is a signal")
    if isinstance(condition, Constant):
        condition = replace(condition, array=condition.array.astype(np.float64))
    shape = tuple(call.node.shape)
    axes = common_axes(known, shape)
    c, x, y = (as_state(v, axes) for v in (condition, call[chosen], call[otherwise]))
    if not all(np.isfinite(s.second).all() for s in (x, y)):
        raise NoRule("it fills in what is not finite")
    axes = common_axes([s for s in (*known, c) if s.axes], shape)
    ec, ex, ey = aligned(*(expanded(s, axes) for s in (c, x, y)))
    other = ec.scaled(-1.0, 1.0)
    together = all(s.constant or s.root is ec.root for s in (ex, ey))
    out = ec.of(np.where(ec.values > 0.5, ex.values, ey.values)) if together else _mixed(ec, other, ex, ey)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        for name, operand, part, share in ((chosen, x, ex, ec), (otherwise, y, ey, other)):
            if not isinstance(call[name], State):
                continue
            if together:
                back = scaled(gradients[0], np.round(share.values))
            else:
                back = times(total(gradients[0], out), share).flow()
            yield name, gathered(back, part, operand)

    return Outcome((out,), pull)


def _mixed(c: State, other: State, x: State, y: State) -> State:
    """Of a condition that is independent of x and y: E (c x + d y)(c' x' + d' y') with c d = 0, d = 1 − c."""

    def moment(what: str) -> Array:
        cc, dd, xx, yy = (getattr(s, what) for s in (c, other, x, y))
        crossed = c.mean - cc  # E c d', which is 0 at one place
        return np.asarray(cc * xx + dd * yy + 2 * crossed * x.mean * y.mean)

    return gaussian(
        x.axes,
        x.sizes,
        c.mean * x.mean + other.mean * y.mean,
        c.mean * x.second + other.mean * y.second,
        moment("across_positions"),
        moment("across_samples"),
        draws=max(x.draws, y.draws, key=lambda d: d.variance),
        marks=x.marks | y.marks | c.marks,
    )


def lerp(call: Call) -> Outcome:
    """`lerp(x, y, w)`: (1 − w) x + w y."""
    weight = number_of(call["weight"])
    shape = tuple(call.node.shape)
    if weight is None:
        steps = [
            Step("rest", "rsub", _shape(call, "weight"), {"self": given("weight"), "other": 1.0}),
            Step("kept", "mul", shape, {"self": given("self"), "other": Ref("rest", 0, _shape(call, "weight"))}),
            Step("new", "mul", shape, {"self": given("end"), "other": given("weight")}),
            Step("out", "add", shape, {"self": Ref("kept", 0, shape), "other": Ref("new", 0, shape)}),
        ]
        return composed(call, steps, ["out"])
    kept = Step("kept", "mul", tuple(_shape(call, "self")), {"self": given("self"), "other": 1 - weight})
    return composed(
        call,
        [kept, Step("out", "add", shape, {"self": Ref("kept", 0, kept.shape), "other": given("end"), "alpha": weight})],
        ["out"],
    )


def add_product(call: Call) -> Outcome:
    """`addcmul(x, a, b, value)`: x + value · a b; `addcdiv`: x + value · a/b."""
    shape = tuple(call.node.shape)
    op = "mul" if call.node.op == "addcmul" else "div"
    both = np.broadcast_shapes(_shape(call, "tensor1"), _shape(call, "tensor2"))
    steps = [
        Step("product", op, both, {"self": given("tensor1"), "other": given("tensor2")}),
        Step(
            "out",
            "add",
            shape,
            {"self": given("self"), "other": Ref("product", 0, both), "alpha": call.get("value", 1)},
        ),
    ]
    return composed(call, steps, ["out"])


def _shape(call: Call, name: str) -> tuple[int, ...]:
    value = call[name]
    if isinstance(value, State):
        return tuple(size_of(a) for a in value.axes)
    if isinstance(value, Constant):
        return value.array.shape
    return tuple(value.shape)


def bernoulli(call: Call) -> Outcome:
    """`bernoulli(p)`: independent masks; with one entry a sample, a stochastic depth."""
    p = call["p"]
    p = number_of(call[call.first]) if p is None else float(p)
    if p is None:
        raise NoRule("each entry has a probability of its own")
    return Outcome((_drawn(call, p, p),), nothing)


_CONSTANT = {
    "zeros_like": 0.0,
    "ones_like": 1.0,
    "empty_like": 0.0,
    "new_zeros": 0.0,
    "new_ones": 1.0,
    "new_empty": 0.0,
}


def filled(call: Call) -> Outcome:
    """`zeros_like`, `full_like`, …: one number everywhere."""
    value = float(call.get("fill_value", _CONSTANT.get(call.node.op, 0.0)))
    axes = _axes(call)
    return Outcome((gaussian(axes, [_features(axes)], value, *[value**2] * 3),), nothing)


def random(call: Call) -> Outcome:
    """`rand_like`, `randn_like`: independent entries."""
    mean, second = (0.0, 1.0) if call.node.op.startswith("randn") else (0.5, 1 / 3)
    return Outcome((_drawn(call, mean, second),), nothing)


def _drawn(call: Call, mean: float, second: float) -> State:
    axes = _axes(call)
    return gaussian(axes, [_features(axes)], mean, second, mean**2, mean**2)


def _axes(call: Call) -> Axes:
    """Each axis as the tensor that it is made like counts it; else as is usual."""
    shape = tuple(call.node.shape)
    like = call.values.get(call.first) if call.values else None
    if not isinstance(like, State) or len(like.axes) != len(shape):
        return usual(shape)
    return tuple(a if size_of(a) == n else b for a, b, n in zip(like.axes, usual(shape), shape, strict=True))


def _features(axes: Axes) -> int:
    return max(count(axes, Kind.FEATURE), 1)
