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
from fanin.signals.state import Sizes, State, gaussian
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
    x = _as_image(x)
    groups, n_out = call.get("groups", 1), call.node.shape[1]
    sizes_out = call.node.shape[2:]
    met = [
        _met(size_of(a), o, k, _at(call, "stride", d), _at(call, "padding", d), _at(call, "dilation", d), transposed)
        for d, (a, o, k) in enumerate(zip(x.axes[2:], sizes_out, weight.shape[2:], strict=True))
    ]
    gather = _Taps.of(met, sizes_out, x.features // groups)
    spread = _Taps.of(met, [size_of(a) for a in x.axes[2:]], n_out // groups)
    if weight.structure is Structure.ISOMETRY:  # the squares of all taps together are what counts, and one is inside
        gather, spread = (_Taps(t.channels, *[math.prod(weight.shape[2:])] * 3) for t in (gather, spread))
    rows, mean, second, positions, samples = _sums(x, weight, gather, groups, n_out, transposed)
    bias_mean, bias_second = _bias(call["bias"], len(rows))
    axes: Axes = (x.axes[0], axis(Kind.FEATURE, n_out), *axes_of(sizes_out, [Kind.POSITION] * spatial))
    added = 2 * mean * bias_mean + bias_second
    out = gaussian(
        axes,
        rows,
        mean + bias_mean,
        second + added,
        positions + added,
        samples + added,
        spread=x.band_variance,
        marks=x.marks,
    )

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        yield "input", _back(seen, out, x, weight, spread, groups)
        inside = gather.same / math.prod(weight.shape[2:])
        yield "weight", WeightGradient(_weight_gradient(x, out, seen, inside))
        if isinstance(call["bias"], Weight):
            yield "bias", WeightGradient(max(seen.summed(out), 0.0))

    return Outcome((out,), pull)


class _Taps(NamedTuple):
    """How many taps of the kernel meet one position on average, and how many meet both of two.

    A border takes taps from some positions only, so that two positions share fewer than each has. Where features have a
    mean, this alone makes positions differ, and batch norms see it as variance.
    """

    channels: int
    same: float
    two: float  # t ≠ t'
    any_two: float

    @classmethod
    def of(cls, met: Sequence[Array], sizes: Sequence[int], channels: int) -> _Taps:
        """From the number of positions that each tap meets, axis by axis."""
        n = math.prod(sizes)
        same = math.prod(float((m / size).sum()) for m, size in zip(met, sizes, strict=True))
        any_two = math.prod(float(((m / size) ** 2).sum()) for m, size in zip(met, sizes, strict=True))
        return cls(channels, same, (n * any_two - same) / (n - 1) if n > 1 else same, any_two)


def _as_image(x: State) -> State:
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


def _met(size_in: int, size_out: int, kernel: int, stride: int, padding: Any, dilation: int, transposed: bool) -> Array:
    """How many positions each tap of one axis meets inside."""
    if isinstance(padding, str):
        padding = 0 if padding == "valid" else dilation * (kernel - 1) // 2
    from_, to = (size_in, size_out) if transposed else (size_out, size_in)
    reached = np.add.outer(np.arange(from_) * stride - padding, np.arange(kernel) * dilation)
    return np.asarray(((reached >= 0) & (reached < to)).sum(0), dtype=np.float64)


def _sums(
    x: State, weight: Weight, taps: _Taps, groups: int, n_out: int, transposed: bool
) -> tuple[Sizes, Array, Array, Array, Array]:
    """Segments of the result, and the moments of Σ w x: by group where each feature is a group."""
    v, m = _average(weight, weight.variance), _average(weight, weight.mean)
    if groups > 1 and len(x.sizes) > 1 and groups == x.features and n_out % groups == 0:
        rows, q, k, s, mu = x.sizes * (n_out // groups), x.second, x.across_positions, x.across_samples, x.mean
    else:
        rows = weight.sizes if not transposed and int(weight.sizes.sum()) == n_out else np.array([n_out])
        q, k, s, mu = (np.array([x.average(a)]) for a in (x.second, x.across_positions, x.across_samples, x.mean))
        if len(rows) > 1:
            v, m = weight.variance, weight.mean

    def moment(of: Array, meet: float) -> Array:
        fan = taps.channels * meet
        return np.asarray(fan * (v * of + m**2 * (of - mu**2)) + (fan * m * mu) ** 2)

    mean = np.asarray(taps.channels * taps.same * m * mu)
    return rows, mean, moment(q, taps.same), moment(k, taps.two), moment(s, taps.any_two)


def _average(weight: Weight, of: Array) -> Array:
    return np.array([weight.sizes @ of / weight.sizes.sum()])


def _bias(bias: Any, rows: int) -> tuple[Array, Array]:
    if not isinstance(bias, Weight):
        return np.zeros(1), np.zeros(1)
    if len(bias.mean) == rows:
        return bias.mean, bias.second
    share = bias.sizes / bias.sizes.sum()
    return np.array([share @ bias.mean]), np.array([share @ bias.second])


def _back(seen: Moments3, out: State, x: State, weight: Weight, taps: _Taps, groups: int) -> Gradient:
    second = weight.second if len(weight.second) == len(out.sizes) else _average(weight, weight.second)
    n = len(x.sizes)
    by_feature = groups > 1 and n > 1 and len(out.sizes) == n
    back = seen.behind_weights(out).each(
        lambda m: taps.channels * (second * m if by_feature else np.full(n, float(out.shares @ (second * m))))
    )
    return back.scaled(taps.same, taps.two, taps.any_two).flow()


def _weight_gradient(x: State, out: State, seen: Moments3, inside: float) -> float:
    n, p = out.samples * out.positions, out.positions
    q, k, s = (x.average(a) for a in (x.second, x.across_positions, x.across_samples))
    g, h, r = (out.average(a) for a in (seen.second, seen.across_positions, seen.across_samples))
    return max(inside * n * (q * g + (p - 1) * k * h + (n - p) * s * r), 0.0)
