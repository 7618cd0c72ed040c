"""Convolutions of any rank: a linear map at every position, of those taps that fall inside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

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
    taps = [
        _inside(i, o, k, *(_at(call, name, d) for name in ("stride", "padding", "dilation")), transposed)
        for d, (i, o, k) in enumerate(zip(sizes_in, sizes_out, weight.shape[2:], strict=True))
    ]
    inside = math.prod(taps)  # taps that reach an output, on average
    n_out = call.node.shape[1]
    c_in, c_out = x.features // groups, n_out // groups
    p_in, p_out = math.prod(sizes_in), math.prod(sizes_out)
    if weight.structure is Structure.ISOMETRY:  # all taps but the centre may be 0: what counts is the sum of squares
        inside = math.prod(weight.shape[2:])
    fan = c_in * inside
    spread_over = c_out * inside * p_out / p_in
    rows_out, mean, second, positions, samples = _sums(x, weight, fan, groups, n_out, transposed)
    bias_mean, bias_second = _bias(call["bias"], len(rows_out))
    axes: Axes = (x.axes[0], axis(Kind.FEATURE, n_out), *axes_of(sizes_out, [Kind.POSITION] * spatial))
    overlap = _overlap(call, weight, x, transposed)
    out = gaussian(
        axes,
        rows_out,
        mean + bias_mean,
        second + 2 * mean * bias_mean + bias_second,
        positions + 2 * mean * bias_mean + bias_second,
        samples + 2 * mean * bias_mean + bias_second,
        spread=x.spread + 2 / n_out,
        marks=x.marks | overlap,
    )

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        yield "input", _back(seen, out, x, weight, spread_over, groups, n_out, p_out / p_in)
        yield "weight", WeightGradient(_weight_gradient(x, out, seen, math.prod(taps) / math.prod(weight.shape[2:])))
        if isinstance(call["bias"], Weight):
            yield "bias", WeightGradient(max(seen.summed(out), 0.0))

    return Outcome((out,), pull)


def as_image(x: State) -> State:
    """(sample, feature, position, …), whatever the axes were taken for: a model's input is not labelled."""
    from dataclasses import replace

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


def _inside(
    size_in: int, size_out: int, kernel: int, stride: int, padding: Any, dilation: int, transposed: bool
) -> float:
    """Taps of one axis that meet an input, on average over the outputs."""
    if isinstance(padding, str):
        padding = 0 if padding == "valid" else dilation * (kernel - 1) // 2
    if transposed:
        reached = np.add.outer(np.arange(size_in) * stride - padding, np.arange(kernel) * dilation)
        return float(((reached >= 0) & (reached < size_out)).sum()) / size_out
    read = np.add.outer(np.arange(size_out) * stride - padding, np.arange(kernel) * dilation)
    return float(((read >= 0) & (read < size_in)).sum()) / size_out


def _sums(
    x: State, weight: Weight, fan: float, groups: int, n_out: int, transposed: bool
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

    def moment(of: Array) -> Array:
        return np.asarray(fan * (v * of + m**2 * (of - mu**2)) + (fan * m * mu) ** 2)

    return rows, np.asarray(fan * m * mu), moment(q), moment(k), moment(s)


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
    seen: Moments3, out: State, x: State, weight: Weight, reach: float, groups: int, n_out: int, positions: float
) -> Gradient:
    second = (
        weight.second
        if len(weight.second) == len(out.sizes)
        else np.array([weight.sizes @ weight.second / weight.sizes.sum()])
    )
    n = len(x.sizes)
    if groups > 1 and n > 1 and len(out.sizes) == n:
        parts = [reach * second * m for m in (seen.second, seen.across_positions, seen.across_samples)]
        return Moments3(*parts).flow()
    del n_out, positions
    parts = [
        np.full(n, reach * float(out.shares @ (second * m)))
        for m in (seen.second, seen.across_positions, seen.across_samples)
    ]
    return Moments3(*parts).flow()


def _weight_gradient(x: State, out: State, seen: Moments3, inside: float) -> float:
    n, p = out.samples * out.positions, out.positions
    q, k, s = (x.average(a) for a in (x.second, x.across_positions, x.across_samples))
    g, h, r = (out.average(a) for a in (seen.second, seen.across_positions, seen.across_samples))
    return max(inside * n * (q * g + (p - 1) * k * h + (n - p) * s * r), 0.0)


def _overlap(call: Call, weight: Weight, x: State, transposed: bool) -> frozenset[str]:
    del call, weight, x, transposed
    return frozenset()
