"""Pooling: the mean or the largest of the entries of a window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np

from fanin.signals import latent
from fanin.signals.axes import Axes, Kind, axis, size_of
from fanin.signals.flow import Flow, Gradient
from fanin.signals.gradient import GradientMoments, total
from fanin.signals.latent import Array
from fanin.signals.rules.convolution import as_image
from fanin.signals.rules.extremes import Extreme
from fanin.signals.rules.maps import Map
from fanin.signals.rules.population import Population
from fanin.signals.state import State
from fanin.signals.values import Call, NoRule, Outcome, Pulled, Unknown, as_array


def average_pool(call: Call) -> Outcome:
    """`avg_pool1d` … `avg_pool3d`: q' = (q + (n − 1) k)/n for n entries; overlaps make neighbours alike."""
    x, dims = _image(call)
    matrices = {}
    divisor = call["divisor_override"]
    included = bool(call.get("count_include_pad", True))
    for dim, at in enumerate(dims):
        inside, padded = _windows(call, x, dim)
        each = padded if included else inside.sum(1)
        matrices[at] = inside / (each[:, None] if divisor is None else 1.0)
    if divisor is not None:
        matrices[dims[0]] = matrices[dims[0]] / divisor
    return _mapped(call, Map(x, matrices))


def adaptive_average_pool(call: Call) -> Outcome:
    """`adaptive_avg_pool1d` … `adaptive_avg_pool3d`: window o of i entries is ⌊o i/n⌋ … ⌈(o + 1) i/n⌉."""
    x, dims = _image(call)
    masks = [_adaptive(size_of(x.axes[at]), call.node.shape[at]) for at in dims]
    return _mapped(call, Map(x, {at: m / m.sum(1, keepdims=True) for at, m in zip(dims, masks, strict=True)}))


def max_pool(call: Call) -> Outcome:
    """`max_pool1d` … `max_pool3d`, with or without indices: order statistics of the latent; back to who won."""
    x, dims = _image(call)
    masks = [_windows(call, x, dim)[0] for dim in range(len(dims))]
    return _largest(call, x, dims, masks)


def adaptive_max_pool(call: Call) -> Outcome:
    """`adaptive_max_pool1d` … `adaptive_max_pool3d`."""
    x, dims = _image(call)
    return _largest(call, x, dims, [_adaptive(size_of(x.axes[at]), call.node.shape[at]) for at in dims])


def _image(call: Call) -> tuple[State, list[int]]:
    """The input with its last axes counting positions, and which those are."""
    x = call.state(call.first)
    spatial = next(int(c) for c in call.node.op if c.isdigit())
    if len(x.axes) != spatial + 2:
        raise NoRule("the input has no axis of samples")
    return as_image(x), list(range(2, spatial + 2))


def _mapped(call: Call, found: Map) -> Outcome:
    return Outcome((found.state,), lambda g: iter([(call.first, found.back(g[0]))]))


def _windows(call: Call, x: State, dim: int) -> tuple[Array, Array]:
    """Which entries of an axis are in which window, and how many each has, padding included."""
    size, n = size_of(x.axes[dim + 2]), call.node.shape[dim + 2]
    kernel = _of(call["kernel_size"], dim, 1)
    stride = _of(call["stride"], dim, kernel)
    padding, dilation = _of(call["padding"], dim, 0), _of(call["dilation"], dim, 1)
    starts = np.arange(n) * stride - padding
    read = starts[:, None] + np.arange(kernel) * dilation
    inside = np.zeros((n, size))
    rows, taps = np.nonzero((read >= 0) & (read < size))
    inside[rows, read[rows, taps]] = 1.0
    padded = np.minimum(starts + kernel, size + padding) - starts  # the last window may leave the padding
    return inside, padded.astype(np.float64)


def _of(value: object, dim: int, without: int) -> int:
    if isinstance(value, int):
        return value
    if isinstance(value, Sequence) and value:
        return int(value[dim] if len(value) > 1 else value[0])
    return without


def _adaptive(size: int, n: int) -> Array:
    at = np.arange(n)
    low, high = at * size // n, -(-(at + 1) * size // n)
    entry = np.arange(size)
    return as_array((entry >= low[:, None]) & (entry < high[:, None]))


def _largest(call: Call, x: State, dims: list[int], masks: list[Array]) -> Outcome:
    n_out, n_in = (math.prod(m.shape[side] for m in masks) for side in (0, 1))
    taps = math.prod(float(m.sum()) / len(m) for m in masks)
    axes: Axes = tuple(
        axis(Kind.POSITION, len(masks[dims.index(at)])) if at in dims else a for at, a in enumerate(x.axes)
    )
    extreme = Extreme(x, Population(x, axes, 1, max(round(taps), 1), 1), taps)
    same = _same_winner(masks, taps)  # the chance, averaged over pairs of different windows
    out = extreme.alike(same)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        yield call.first, _back(total(gradients[0], out), x, extreme, same, n_out, n_in)

    further = [Unknown(shape, "int64", axes, n_in) for shape in call.node.shapes[1:]]
    return Outcome((out, *further), pull)


def _same_winner(masks: list[Array], taps: float) -> float:
    """P(two windows have one winner): of the entries of both, the share that lies in both."""
    n = math.prod(len(m) for m in masks)
    if n == 1:
        return 0.0
    shared = [np.unique(m @ m.T, return_counts=True) for m in masks]
    found = 0.0
    for combination in product(*(list(zip(u, c, strict=True)) for u, c in shared)):
        both = min(math.prod(float(u) for u, _ in combination), taps)
        found += math.prod(int(c) for _, c in combination) * both / (2 * taps - both)
    return max(found - n, 0.0) / (n * (n - 1))  # without each window and itself


def _back(seen: GradientMoments, x: State, extreme: Extreme, same: float, n_out: int, n_in: int) -> Gradient:
    """The winner of each window gets its δ; who wins several, the sum of those.

    What comes back is in all what came: n_in (g + (n_in − 1) h) = n_out (g' + (n_out − 1) h').
    """
    ratio = n_out / n_in
    g = ratio * (seen.second + (n_out - 1) * same * seen.across_positions)
    h = (ratio * (seen.second + (n_out - 1) * seen.across_positions) - g) / max(n_in - 1, 1)
    chance = extreme.winning()
    positions, _ = x.correlations
    expected = ratio / latent.expectation(chance)  # windows won by one entry: expected · chance(z)
    with np.errstate(all="ignore"):
        of_pair = np.nan_to_num(h / latent.covariance(chance, positions), nan=0.0)
    (one,), (other,) = seen.flow(), seen.flow()
    zero = np.zeros_like(g)
    return {
        one: Flow(zero, of_pair, seen.across_samples * expected**2, chance),
        other: Flow(g / latent.expectation(chance), zero, zero, np.sqrt(chance)),
    }
