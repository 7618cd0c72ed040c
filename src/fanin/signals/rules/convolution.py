"""Convolutions of any rank: a linear map at every position, of those taps that fall inside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fanin.initializers import Structure
from fanin.signals.axes import Axes, Kind, axes_of, axis, size_of
from fanin.signals.gradient import Gradient, Moments3, total
from fanin.signals.latent import Array
from fanin.signals.state import State, gaussian
from fanin.signals.values import Call, NoRule, Outcome, Pulled, Weight, WeightGradient


def convolution(call: Call) -> Outcome:
    """`conv1d` … `conv3d` with groups, stride, dilation and zero padding: n = C_in/G · K · (share of taps inside).

    References: He et al. 2015, eq. 6–10; Xiao et al. 2018.
    """
    return _convolve(call, transposed=False)


def transposed_convolution(call: Call) -> Outcome:
    """`conv_transpose1d` … `conv_transpose3d`: each input spreads; an output gathers K/s of the taps."""
    return _convolve(call, transposed=True)


def _convolve(call: Call, *, transposed: bool) -> Outcome:
    x, weight = call.state("input"), call["weight"]
    if not isinstance(weight, Weight):
        raise NoRule("the weight is computed from other tensors")
    spatial = len(weight.shape) - 2
    if len(x.axes) != spatial + 2:
        raise NoRule("the input has no axis of samples")
    x = as_image(x)
    groups = call.get("groups", 1)
    sizes_in = [size_of(a) for a in x.axes[2:]]
    sizes_out = list(call.node.shape[2:])
    reach = Reach.of(
        [
            _read(i, o, k, *(_at(call, name, d) for name in ("stride", "padding", "dilation")), transposed)
            for d, (i, o, k) in enumerate(zip(sizes_in, sizes_out, weight.shape[2:], strict=True))
        ],
        only_centre=weight.structure is Structure.ISOMETRY,
    )
    n_out = call.node.shape[1]
    c_in, c_out = x.features // groups, n_out // groups
    p_in, p_out = math.prod(sizes_in), math.prod(sizes_out)
    rows_out, mean, second, positions, samples = _sums(x, weight, c_in, reach, p_out, groups, n_out, transposed)
    bias_mean, bias_second = _bias(call["bias"], len(rows_out))
    axes: Axes = (x.axes[0], axis(Kind.FEATURE, n_out), *axes_of(sizes_out, [Kind.POSITION] * spatial))
    out = gaussian(
        axes,
        rows_out,
        mean + bias_mean,
        second + 2 * mean * bias_mean + bias_second,
        positions + 2 * mean * bias_mean + bias_second,
        samples + 2 * mean * bias_mean + bias_second,
        spread=x.spread + 2 / n_out,
        marks=x.marks,
    )

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        yield "input", _back(seen, out, x, weight, c_out, reach.shares(p_in), groups)
        yield "weight", WeightGradient(_weight_gradient(x, out, seen, reach))
        if isinstance(call["bias"], Weight):
            yield "bias", WeightGradient(max(seen.summed(out), 0.0))

    return Outcome((out,), pull)


class Reach(NamedTuple):
    """How far the taps reach: tap τ connects n_τ inputs with as many outputs.

    Two outputs have in common what the same tap sees: weights are shared by positions, but differ from tap to tap.

    Attributes:
        taps: K.
        sum: Σ n_τ.
        squares: Σ n_τ².
    """

    taps: int
    sum: float
    squares: float

    @classmethod
    def of(cls, inside: Sequence[Array], *, only_centre: bool) -> Reach:
        """Of the axes, each a table (entry, tap) of what is inside; all others are zero padding."""
        by_tap = [table.sum(0) for table in inside]
        taps = math.prod(len(n) for n in by_tap)
        if only_centre:  # of a delta-orthogonal kernel: E w² is an average over all taps
            centre = math.prod(float(n[len(n) // 2]) for n in by_tap)
            return cls(taps, taps * centre, taps * centre**2)
        return cls(taps, *(math.prod(float((n**e).sum()) for n in by_tap) for e in (1, 2)))

    def shares(self, positions: int) -> tuple[float, float, float]:
        """Taps that reach one of so many positions, that two of them have in common, and that two samples have."""
        pairs = max(positions * (positions - 1), 1)
        return self.sum / positions, (self.squares - self.sum) / pairs, self.squares / positions**2


def as_image(x: State) -> State:
    """(sample, feature, position, …), whatever the axes were taken for: a model's input is not labelled."""
    kinds = [Kind.SAMPLE, Kind.FEATURE, *[Kind.POSITION] * (len(x.axes) - 2)]
    axes = axes_of([size_of(a) for a in x.axes], kinds)
    if axes == x.axes:
        return x
    features = size_of(axes[1])
    return replace(x if x.features == features else x.pooled([features]), axes=axes)


def _at(call: Call, name: str, dim: int) -> Any:
    value = call.get(name, 1 if name != "padding" else 0)
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return value
    return value[dim] if len(value) > 1 else value[0]


def _read(
    size_in: int, size_out: int, kernel: int, stride: int, padding: Any, dilation: int, transposed: bool
) -> Array:
    """Which taps of an axis meet an input, for each output; transposed, an output, for each input."""
    if isinstance(padding, str):
        padding = 0 if padding == "valid" else dilation * (kernel - 1) // 2
    here, there = (size_in, size_out) if transposed else (size_out, size_in)
    met = np.add.outer(np.arange(here) * stride - padding, np.arange(kernel) * dilation)
    return ((met >= 0) & (met < there)) * 1.0


def _sums(
    x: State, weight: Weight, c_in: int, reach: Reach, p_out: int, groups: int, n_out: int, transposed: bool
) -> tuple[Any, Array, Array, Array, Array]:
    """Segments of the result, and the moments of Σ w x: by group where groups see segments of their own."""
    v, m = _variance(weight), _mean(weight)
    if groups > 1 and len(x.sizes) > 1 and groups == x.features and n_out % groups == 0:  # depthwise: one to one
        rows, q, k, s, mu = x.sizes * (n_out // groups), x.second, x.across_positions, x.across_samples, x.mean
    else:
        rows = weight.sizes if not transposed and int(weight.sizes.sum()) == n_out else np.array([n_out])
        q, k, s, mu = (np.array([x.average(a)]) for a in (x.second, x.across_positions, x.across_samples, x.mean))
        if len(rows) > 1:
            v, m = weight.variance, weight.mean
    one, *two = (c_in * share for share in reach.shares(p_out))

    def moment(of: Array, taps: float) -> Array:
        return np.asarray(taps * (v * of + m**2 * (of - mu**2)) + (one * m * mu) ** 2)

    return rows, np.asarray(one * m * mu), moment(q, one), moment(k, two[0]), moment(s, two[1])


def _variance(weight: Weight) -> Array:
    return np.array([weight.sizes @ weight.variance / weight.sizes.sum()])


def _mean(weight: Weight) -> Array:
    return np.array([weight.sizes @ weight.mean / weight.sizes.sum()])


def _bias(bias: Any, rows: int) -> tuple[Array, Array]:
    if not isinstance(bias, Weight):
        return np.zeros(1), np.zeros(1)
    if len(bias.mean) == rows:
        return bias.mean, bias.second
    share = bias.sizes / bias.sizes.sum()
    return np.array([share @ bias.mean]), np.array([share @ bias.second])


def _back(
    seen: Moments3,
    out: State,
    x: State,
    weight: Weight,
    c_out: int,
    shares: tuple[float, float, float],
    groups: int,
) -> Gradient:
    second = (
        weight.second
        if len(weight.second) == len(out.sizes)
        else np.array([weight.sizes @ weight.second / weight.sizes.sum()])
    )
    n = len(x.sizes)
    parts = []
    for share, m in zip(shares, (seen.second, seen.across_positions, seen.across_samples), strict=True):
        of_units = second * m
        apart = groups > 1 and n > 1 and len(out.sizes) == n
        parts.append(c_out * share * (of_units if apart else np.full(n, float(out.shares @ of_units))))
    return Moments3(*parts).flow()


def _weight_gradient(x: State, out: State, seen: Moments3, reach: Reach) -> float:
    """E (Σ δ x)² of one tap: B (n q g + n (n − 1) k h) + B (B − 1) n² s r, averaged over the taps."""
    b = out.samples
    q, k, s = (x.average(a) for a in (x.second, x.across_positions, x.across_samples))
    g, h, r = (out.average(a) for a in (seen.second, seen.across_positions, seen.across_samples))
    n, n_squared = reach.sum / reach.taps, reach.squares / reach.taps
    return max(b * (n * q * g + (n_squared - n) * k * h + (b - 1) * n_squared * s * r), 0.0)
