"""y = W x + b: every unit a fresh sum over the fan-in."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from fanin.signals import latent
from fanin.signals.axes import Axes, Kind, axis, count, kinds_of, size_of
from fanin.signals.bins_back import met
from fanin.signals.distribution import Terms
from fanin.signals.flow import Gradient
from fanin.signals.frozen import replace
from fanin.signals.gradient import GradientMoments, total
from fanin.signals.gradient_forms import kept_apart
from fanin.signals.latent import Array
from fanin.signals.pairs import handed_back, heard
from fanin.signals.rules.over_draws import through_weights
from fanin.signals.state import State, gaussian
from fanin.signals.values import Call, NoRule, Outcome, Pulled, Weight, WeightGradient

MOST_TOGETHER: Final = 30.0  # in logarithms: beyond, a mean over draws says nothing
DECIDES: Final = 0.3  # of the variance of a sum: from that on the law of its bias is seen in its own


def linear(call: Call) -> Outcome:
    """`linear(input, weight, bias)`: q' = n (v_w q + m_w² (q − μ²)) + n² m_w² μ² + v_b, and the same for covariances.

    References: LeCun et al. 1998; He et al. 2015, eq. 6–10; Poole et al. 2016, eq. 3.
    """
    x, weight = call.state("input"), call["weight"]
    if not isinstance(weight, Weight):
        raise NoRule("the weight is computed from other tensors")
    return _product(x, "input" if "input" in call.values else "self", weight, "weight", call["bias"], call.node.shape)


def matrix_product(call: Call) -> Outcome:
    """`matmul`, `mm` and `addmm` with a parameter on one side: x @ W, or W @ x."""
    names = {"matmul": ("self", "other"), "mm": ("self", "mat2"), "bmm": ("self", "mat2"), "addmm": ("mat1", "mat2")}
    left, right = names[call.node.op]
    bias = call["self"] if call.node.op == "addmm" else None
    for x, w in ((left, right), (right, left)):
        state, weight = call[x], call[w]
        if isinstance(state, State) and isinstance(weight, Weight):
            if w == left:
                raise NoRule("the weight stands on the left")
            flipped = Weight(  # (in, out): rows that differ along `in` count by their average
                weight.path,
                (weight.shape[-1], *weight.shape[:-1]),
                np.array([weight.mean @ weight.sizes / weight.sizes.sum()]),
                np.array([weight.variance @ weight.sizes / weight.sizes.sum()]),
                np.array([weight.shape[-1]]),
                weight.structure,
            )
            return _product(state, x, flipped, w, bias, call.node.shape)
    raise NoRule("no parameter takes part")


def _product(x: State, x_name: str, weight: Weight, w_name: str, bias: Any, shape: tuple[int, ...]) -> Outcome:
    n_in, n_out = size_of(x.axes[-1]), shape[-1]
    axes = (*x.axes[:-1], axis(Kind.FEATURE, n_out))
    if kinds_of(x.axes[-1]) == {Kind.POSITION}:
        return _over_positions(x, x_name, weight, w_name, bias, n_in, n_out)
    kept = count(x.axes[:-1], Kind.FEATURE)  # heads, say, that share the weight
    sizes = _rows_out(weight, n_out, kept)
    taken, law = heard(x, weight)
    mean, second, positions, samples = _sum(taken, law, n_in, len(sizes))
    b_mean, b_second = _bias(bias, sizes)
    out = gaussian(
        axes,
        sizes,
        mean + b_mean,
        second + 2 * mean * b_mean + b_second,
        positions + 2 * mean * b_mean + b_second,
        samples + 2 * mean * b_mean + b_second,
        draws=taken.drawn_through(weight.keeps_norms),
        marks=x.marks,
    ).moved_by(second)
    out = _shaped_by(bias, out)
    out = replace(out, scatter=1 / n_in + x.own_scatter)
    if x.bins is not None:
        gain = out.average(second) / (x.average(x.second) or 1.0)
        bins = x.bins.mapped(gain, out.average(out.mean), out.average(b_second + 2 * mean * b_mean))
        if out.marginal is not None:
            bins = bins.shaped(np.repeat(out.pooled().values, len(bins.counts), 0))
        out = out.binned(bins)

    out = out.of_terms(Terms(n_in, 0.0, alone=False))
    moved = out.average(second) / (out.average(out.second) or 1.0)

    def pull(gradients: Any) -> Pulled:
        seen = total(gradients[0], out)
        back = _back(handed_back(gradients[0], out, weight).behind_weights(out), out, weight, x, n_out, moved)
        yield x_name, kept_apart(back, seen, x, alone=False)
        yield w_name, _weight_gradient(x, seen, out)
        if isinstance(bias, Weight):
            yield "bias" if w_name == "weight" else "self", WeightGradient(seen.summed(out))

    return Outcome((out,), pull)


def _rows_out(weight: Weight, n_out: int, kept: int) -> Any:
    if kept > 1 or int(weight.sizes.sum()) != n_out:
        return np.array([n_out * kept])
    return weight.sizes


def _sum(x: State, weight: Weight, n: int, rows: int) -> tuple[Array, Array, Array, Array]:
    """Mean, second moment and covariances of Σ w x over n features, for each row of weights."""
    v, m = weight.variance, weight.mean
    if rows != len(m):
        v, m = _average(weight, v), _average(weight, m)
    mean_x, square = x.average(x.mean), x.average(x.mean**2)
    same, positions, samples = (x.average(k) for k in (x.second, x.across_positions, x.across_samples))
    known = mean_x**2 if weight.centred else 0.0
    if not m.any():
        return 0.0 * v, n * v * (same - known), n * v * (positions - known), n * v * (samples - known)

    def moment(k: float) -> Array:
        return np.asarray(n * (v * (k - known) + m**2 * (k - square)) + (n * m * mean_x) ** 2)

    return n * m * mean_x, moment(same), moment(positions), moment(samples)


def _average(weight: Weight, of: Array) -> Array:
    return np.array([weight.sizes @ of / weight.sizes.sum()])


def _bias(bias: Any, sizes: Any) -> tuple[Array, Array]:
    """Mean and second moment of the bias, by segment."""
    if isinstance(bias, Weight):
        if len(bias.mean) == len(sizes):
            return bias.mean, bias.second
        return _average(bias, bias.mean), _average(bias, bias.second)
    return np.zeros(1), np.zeros(1)


def _shaped_by(bias: Any, out: State) -> State:
    """A sum over inputs is Gaussian; a bias that decides where a unit stands, as that of steps in time, may not be."""
    if not isinstance(bias, Weight) or bias.marginal is None or len(bias.mean) != len(out.sizes):
        return out
    rest = out.variance - bias.variance
    if not (bias.variance > DECIDES * out.variance).all():
        return out
    around = np.sqrt(np.maximum(rest, 0.0))[:, None] * latent.NODES
    values = latent.independent(np.add, bias.marginal, around)
    return replace(out, marginal=latent.moved(values, out.mean, out.variance))


def _back(seen: GradientMoments, out: State, weight: Weight, x: State, n_out: int, moved: float) -> Gradient:
    """G = Σ over units of E w² g'; every feature of x gets the same, since any may be any.

    Positions that are summed over, as after a view of (C, H, W) as C·H·W, have weights of their own: what comes back to
    two of them has nothing in common.
    """
    second = weight.second if len(weight.second) == len(out.sizes) else _average(weight, weight.second)
    by = n_out * out.shares * second
    ones = np.ones(len(x.sizes))
    summed = count(x.axes[-1:], Kind.POSITION)
    same = (x.positions / summed - 1) / max(x.positions - 1, 1) if summed > 1 else 1.0
    if not weight.keeps_norms:
        seen = through_weights(seen, out, x, moved)
    back = seen.each(lambda m: float(by @ m) * ones)
    return (back.scaled(1.0, same, 1 / summed) if summed > 1 else back).flow()


def _weight_gradient(x: State, seen: GradientMoments, out: State) -> WeightGradient:
    """E (Σ δ x)²: N (q g + (P − 1) k_pos h_pos + (B − 1) P k_smp h_smp)."""
    along = x.drawn.along(seen.swing), x.drawn.along_pairs(seen.swing)
    both, of_pairs = (math.exp(min(a, MOST_TOGETHER)) for a in along)  # E q g of two that move together
    if x.bins is not None and out.bins is not None:
        return WeightGradient(both * max(met(x.bins, *seen.in_bins(out, x.bins.counts), out.samples), 0.0))
    n, p = out.samples * out.positions, out.positions
    q, k, s = (x.average(a) for a in (x.second, x.across_positions, x.across_samples))
    g, h, r = (out.average(a) for a in (seen.second, seen.across_positions, seen.across_samples))
    return WeightGradient(max(n * (both * (q * g + (p - 1) * k * h) + of_pairs * (n - p) * s * r), 0.0))


def _over_positions(x: State, x_name: str, weight: Weight, w_name: str, bias: Any, n_in: int, n_out: int) -> Outcome:
    """A product over positions, as a mixer's: each new position has weights of its own.

    All features of a position have these in common: what the features had in common, their mean, is in each of them
    Σ w μ, another number at each position.
    """
    w = float(weight.sizes @ weight.second / weight.sizes.sum())
    _, added = _bias(bias, np.array([n_out]))
    b = float(np.mean(added))
    axes: Axes = (*x.axes[:-1], axis(Kind.POSITION, n_out))
    kept = count(x.axes[:-1], Kind.POSITION)
    out = gaussian(
        axes,
        x.sizes,
        0.0,
        n_in * w * x.second + b,
        (n_in * w * x.across_positions + b) * (kept - 1) / max(kept * n_out - 1, 1),
        (n_in * w * x.across_samples + b) / n_out,
        draws=x.draws,
        marks=x.marks,
    )
    out = replace(out, shared=n_in * w * x.average(x.mean) ** 2 + b)

    def pull(gradients: Any) -> Pulled:
        seen = total(gradients[0], out)
        yield x_name, seen.behind_weights(out).scaled(n_out * w, 0.0, n_out * w / n_in).flow()
        yield w_name, WeightGradient(out.samples * out.features * out.average(seen.second) * x.average(x.second))
        if isinstance(bias, Weight):
            g, r = (out.average(m) for m in (seen.second, seen.across_samples))
            yield "bias", WeightGradient(out.features * out.samples * max(g + (out.samples - 1) * r, 0.0))

    return Outcome((out,), pull)
