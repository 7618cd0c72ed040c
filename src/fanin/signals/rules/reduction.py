"""Sums, means, variances, norms and extremes over any axes.

A mean of n entries of covariance k has E m² = (q + (n − 1) k)/n; over features, which have only their mean in common,
it is nearly a constant. Back, all n entries get the same gradient: they are fully correlated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from fanin.signals.distribution import Root
from fanin.signals.flow import Gradient, scaled
from fanin.signals.gradient import total
from fanin.signals.latent import Array, expectation
from fanin.signals.rules.extremes import Extreme
from fanin.signals.rules.larger import larger
from fanin.signals.rules.operands import times
from fanin.signals.rules.population import Population, log_normal
from fanin.signals.state import State
from fanin.signals.values import Call, Constant, NoRule, Outcome, Pulled, nothing

Values = Callable[[Array], Array]


def mean(call: Call) -> Outcome:
    """`mean(x, dim)`: E m² = (q + (n − 1) k)/n; back g/n²."""
    x = call.state(call.first)
    over = Population.of_call(call, x)
    out = over.mean(x)
    return Outcome((out,), lambda g: iter([(call.first, over.repeated(g[0], out).times(over.count**-2.0).flow())]))


def summed(call: Call) -> Outcome:
    """`sum(x, dim)`: n times the mean."""
    x = call.state(call.first)
    over = Population.of_call(call, x)
    of_one = over.mean(x)
    out = of_one.scaled(float(over.count)).binned(of_one.bins and of_one.bins.scaled(float(over.count)))
    return Outcome((out,), lambda g: iter([(call.first, over.repeated(g[0], out).flow())]))


def variance(call: Call) -> Outcome:
    """`var(x, dim, correction)`: q − E m² with m the mean of the population; ∂/∂x = 2 (x − m)/(n − correction)."""
    x = call.state(call.first)
    spread = _Variance(call, x)
    return Outcome((spread.state,), lambda g: iter([(call.first, spread.back(g[0]))]))


def standard_deviation(call: Call) -> Outcome:
    """`std`: the root of the variance."""
    x = call.state(call.first)
    spread = _Variance(call, x)
    out, slope = _rooted(spread.state)
    return Outcome((out,), lambda g: iter([(call.first, spread.back(scaled(g[0], slope)))]))


def variance_and_mean(call: Call) -> Outcome:
    """`var_mean` and `std_mean`."""
    x = call.state(call.first)
    spread = _Variance(call, x)
    over = spread.over
    of_all = over.mean(x)
    first, slope = _rooted(spread.state) if call.node.op == "std_mean" else (spread.state, np.ones((1, 1)))

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        if gradients[0]:
            yield call.first, spread.back(scaled(gradients[0], slope))
        if gradients[1]:
            yield call.first, over.repeated(gradients[1], of_all).times(over.count**-2.0).flow()

    return Outcome((first, of_all), pull)


class _Variance:
    """The variance over a population as a state, and its way back."""

    def __init__(self, call: Call, x: State) -> None:
        self.x, self.over = x, Population.of_call(call, x)
        n = self.over.count
        correction = call["correction"] if call["correction"] is not None else float(call.get("unbiased", True))
        if n <= correction:
            raise NoRule("the variance of one entry")
        self.free = n - correction
        self.centre = self.over.mean(x)
        self.rest = _without(x, self.over.spread_rows(self.centre), self.over.inside)
        square = self.over.mean(self.rest.of(self.rest.values**2))
        self.state = square.scaled(n / self.free)

    def back(self, gradient: Gradient) -> Gradient:
        """Δ · 2 (x − m)/(n − correction)."""
        seen, rest = self.over.repeated(gradient, self.state), self.rest
        return times(seen, rest).times(4 / self.free**2).flow()


def _without(x: State, mean: State, inside: float) -> State:
    """X − m, m the mean of x over a population: E x m = E m², so that every moment is the difference of both.

    Args:
        inside: of the pairs of positions of x, those that have one m.
    """
    second = np.maximum(x.second - mean.second, 0.0)
    positions = x.across_positions - inside * mean.second - (1 - inside) * mean.across_positions
    samples = x.across_samples - mean.across_samples
    with np.errstate(all="ignore"):
        by = np.nan_to_num(np.sqrt(second / x.variance), nan=0.0)
        shared = tuple(np.nan_to_num(np.clip(k / second, -1.0, 1.0), nan=0.0) for k in (positions, samples))
    return replace(
        x.scaled(by, -by * x.mean),
        mean=np.zeros_like(second),
        second=second,
        across_positions=positions,
        across_samples=samples,
        latents=(shared[0], shared[1]),
    )


def _rooted(of: State) -> tuple[State, Array]:
    """√x of an x that is never negative, and the slope."""
    values = np.sqrt(np.maximum(of.values, 0.0))
    out = of.of(values)
    with np.errstate(all="ignore"):
        slope = np.where(values > 0, 0.5 / values, 0.0)
    return out, slope


def vector_norm(call: Call) -> Outcome:
    """`linalg_vector_norm` and `norm`: (Σ |x|^p)^(1/p), E ‖x‖² = n q at p = 2; back δ x/‖x‖."""
    x = call.state(call.first)
    order = float(call.get("ord", call.get("p", 2)))
    if math.isinf(order):
        return _extreme(call, sign=1.0 if order > 0 else -1.0, of=np.abs, slope=np.sign)
    if order <= 0:
        raise NoRule(f"the norm of order {order}")
    over = Population.of_call(call, x)
    powers = over.mean(x.of(np.abs(x.values) ** order)).scaled(float(over.count))
    values = np.maximum(powers.values, 0.0) ** (1 / order)
    out = powers.of(values)
    if order == 2:  # the second moment of this one is exact
        by = np.sqrt(powers.mean / np.maximum(out.second, 1e-300))
        out = out.scaled(by)
    size = out.average(out.second)
    back = np.sign(x.values) * (np.abs(x.values) / math.sqrt(max(size, 1e-300))) ** (order - 1)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        yield call.first, scaled(over.repeated(gradients[0], out).flow(), back)

    return Outcome((out,), pull)


def log_sum_exp(call: Call) -> Outcome:
    """`logsumexp(x, dim)`: log n E e^x as the mean of e^x fluctuates; back δ times the softmax e^x/(n E e^x)."""
    x = call.state(call.first)
    over = Population.of_call(call, x)
    top = x.mean.max()
    lifted = np.exp(x.values - top)
    mass = over.mean(x.of(lifted))
    out = log_normal(mass, shift=math.log(over.count) + float(top))
    share = lifted / (lifted + (over.count - 1) * mass.average(mass.mean))  # one beside the mean of the others
    share = share / (over.count * x.average(expectation(share)))

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        yield call.first, scaled(over.repeated(gradients[0], out).flow(), share)

    return Outcome((out,), pull)


def maximum(call: Call) -> Outcome:
    """`amax`, `max`: order statistics of the latent, for any monotone F; of two tensors, the larger."""
    if call["other"] is not None:
        return larger(call)
    return _extreme(call)


def minimum(call: Call) -> Outcome:
    """`amin`, `min`: −max(−x)."""
    if call["other"] is not None:
        return larger(call)
    return _extreme(call, sign=-1.0)


def _extreme(call: Call, sign: float = 1.0, of: Values | None = None, slope: Values | None = None) -> Outcome:
    x = call.state(call.first)
    seen = x if of is None else x.of(of(x.values))
    over = Population.of_call(call, x)
    extreme = Extreme(seen.scaled(sign), over)
    out = extreme.state.scaled(sign) if sign < 0 else extreme.state
    further = [Constant(np.zeros(1, dtype=np.int64)) for _ in call.node.shapes[1:]]

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        back = extreme.shared(over.repeated(gradients[0], out), inside=over.inside)
        yield call.first, back if slope is None else scaled(back, slope(x.values))

    return Outcome((out, *further), pull)


def cumulative_sum(call: Call) -> Outcome:
    """`cumsum(x, dim)`: S_t = Σ_{s ≤ t} x_s, E S_t S_t' = m (q − k) + t t' k with m = min(t, t')."""
    x = call.state(call.first)
    dim = call["dim"] % max(len(x.axes), 1)
    over = Population.of_dims(x, (dim,), keep=True)
    n = over.count
    if over.samples > 1 or (over.features > 1 and over.positions > 1):
        raise NoRule("it runs over samples or over several kinds of axes")
    t = np.arange(1, n + 1, dtype=np.float64)
    square, line = float((t**2).mean()), float(t.mean())
    # pairs of two different steps
    low = (float(np.minimum.outer(t, t).sum()) - n * line) / max(n * (n - 1), 1)
    both = ((n * line) ** 2 - n * square) / max(n * (n - 1), 1)

    def moments(q: Array, k: Array, s: Array, base: Array) -> tuple[Array, Array, Array]:
        if over.features > 1:  # features have their mean in common, and nothing else
            return tuple(line * (m - base) + square * base for m in (q, k, s))  # type: ignore[return-value]
        inside = (n - 1) / max(x.positions - 1, 1)  # of the pairs of positions, those along the axis
        other = inside * (low * (q - k) + both * k) + (1 - inside) * line**2 * k
        return line * (q - k) + square * k, other, line**2 * s

    pooled = x.pooled() if over.features > 1 else x
    q, k, s = moments(pooled.second, pooled.across_positions, pooled.across_samples, pooled.mean**2)
    out = replace(
        pooled,
        mean=line * pooled.mean,
        second=q,
        across_positions=k,
        across_samples=s,
        marginal=None,
        root=Root(),
        latents=None,
    )

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        back = moments(seen.second, seen.across_positions, seen.across_samples, np.zeros(len(out.sizes)))
        yield call.first, seen.become(*(np.broadcast_to(m, x.mean.shape) for m in back)).flow()

    return Outcome((out,), pull)


def index_of_extreme(call: Call) -> Outcome:
    """`argmax`, `argmin`: no gradient passes, and what they are is as good as any."""
    return Outcome((Constant(np.zeros(call.node.shape, dtype=np.int64)),), nothing)
