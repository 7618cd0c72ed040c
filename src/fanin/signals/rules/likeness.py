"""How alike two signals are: the cosine of the angle between them, and how far they are apart.

Of two whose features have the correlation ρ it is ρ, but for a chance of (1 − ρ²)²/n. Its slope (ŷ − c x̂)/|x| leaves
out what both have in common, and next to nothing is left where they are nearly the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from fanin.signals.axes import shape_of
from fanin.signals.flow import Gradient
from fanin.signals.gradient import GradientMoments
from fanin.signals.rules import reduction, sums
from fanin.signals.rules.population import Population
from fanin.signals.state import State, gaussian
from fanin.signals.twins import TWO
from fanin.signals.values import Call, NoRule, Outcome, Pulled, WeightGradient

NAMES: Final = {"self": "x1", "other": "x2"}


def cosine_similarity(call: Call) -> Outcome:
    """Σ x y/(|x| |y|): E c = ρ, E c² = ρ² + (1 − ρ²)²/n; back E δ² (1 − E c²)/(n² E x²).

    Reference: Hotelling 1953, §3, the variance of a coefficient of correlation of n values.
    """
    x, y = call.state("x1"), call.state("x2")
    if shape_of(x.axes) != shape_of(y.axes) or x.axes != y.axes:
        raise NoRule("one of the two is repeated")
    if x.root is y.root:
        raise NoRule("both are functions of one signal")
    over = Population.of_dims(x, (call.get("dim", 1),), keep=False)
    n = over.count
    if over.features != n or n < 2:
        raise NoRule("the axis does not count features")
    both = call.twins("x1", "x2")
    crossed = x.average(x.mean) * y.average(y.mean) if both is None else x.average(both)
    of_x, of_y = _alike(x), _alike(y)
    rho = float(np.clip(crossed / np.sqrt(of_x[0] * of_y[0]), -1.0, 1.0))
    chance = (1 - rho**2) ** 2 / n
    second, positions, samples = (
        rho**2 + chance * (a / of_x[0]) * (b / of_y[0]) for a, b in zip(of_x, of_y, strict=True)
    )
    out = gaussian(
        over.axes,
        [max(x.features // n, 1)],
        rho,
        second,
        positions,
        samples,
        marks=x.marks | y.marks | ({TWO} if both is not None else frozenset()),
    )

    def back(one: tuple[float, float, float], other: tuple[float, float, float], g: GradientMoments) -> GradientMoments:
        left = [b / other[0] - 2 * rho**2 + rho**2 * a / one[0] for a, b in zip(one, other, strict=True)]
        left[0] = max(1 - second, 0.0)  # at one place, where x and y meet
        return g.become(*(m * by / (n**2 * one[0]) for m, by in zip(g.moments, left, strict=True)))

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        repeated = over.repeated(gradients[0], out)
        yield "x1", back(of_x, of_y, repeated).flow()
        spread = Population.of_dims(y, (call.get("dim", 1),), keep=False).repeated(gradients[0], out)
        yield "x2", back(of_y, of_x, spread).flow()

    return Outcome((out,), pull)


def pairwise_distance(call: Call) -> Outcome:
    """|x − y|_p, of two signals or of twins."""
    x = call.state("x1")
    between = {name: call.kin[own] for name, own in NAMES.items() if own in call.kin}
    values = {name: call.values[own] for name, own in NAMES.items()}
    apart = sums.subtract(Call(replace(call.node, shape=shape_of(x.axes)), values, {}, call.known, between))
    plain = {"ord": call.get("p", 2.0), "dim": (-1,), "keepdim": bool(call.get("keepdim", False))}
    length = reduction.vector_norm(Call(call.node, {"self": apart.values[0]}, plain))

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        returned = [back for _, back in length.pull(gradients) if not isinstance(back, WeightGradient)]
        for name, back in apart.pull(returned):
            yield NAMES[name], back

    return Outcome(length.values, pull)


def _alike(x: State) -> tuple[float, float, float]:
    """E x², and of two positions and two samples, over all features."""
    second, positions, samples = (x.average(m) for m in (x.second, x.across_positions, x.across_samples))
    if second <= 0:
        raise NoRule("one of the two is zero")
    return second, positions, samples
