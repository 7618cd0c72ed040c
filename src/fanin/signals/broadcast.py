"""Operands of one operation brought to the same axes: repeats, parameters and known tensors as states."""

from __future__ import annotations

import numpy as np

from fanin.signals import latent
from fanin.signals.axes import Axes, Kind, axis, count, kinds_of, size_of
from fanin.signals.flow import Gradient, chosen
from fanin.signals.frozen import replace
from fanin.signals.gradient import GradientMoments, total
from fanin.signals.latent import Array
from fanin.signals.particles import moments_of
from fanin.signals.state import State, gaussian
from fanin.signals.values import Constant, NoRule, Value, Weight

MANY = 1 << 16  # values of a known tensor that are looked at


def common_axes(states: list[State], shape: tuple[int, ...]) -> Axes:
    """The axes of the result: each as the first operand that has it whole counts it.

    A constant comes last, as one that the model has made, zeros to start from, only seems to count something.
    """
    if any(s.axes != states[0].axes for s in states):
        states = sorted(states, key=lambda state: state.constant)
    out = []
    for at in range(-len(shape), 0):
        have = [s.axes[at] for s in states if len(s.axes) >= -at]
        whole = [a for a in have if size_of(a) == shape[at] and a]
        kind = Kind.FEATURE if at == -1 else Kind.POSITION
        out.append(whole[0] if whole else axis(kind, shape[at]))
    return tuple(out)


def as_state(value: Value | float, axes: Axes) -> State:
    """An operand as a state that broadcasts to these axes.

    Raises:
        NoRule: nothing is known of it, or it holds what no moments can.
    """
    if isinstance(value, State):
        return value
    if isinstance(value, Weight):
        return _of_weight(value, axes)
    if isinstance(value, Constant):
        return _of_constant(value.array, axes)
    if isinstance(value, (int, float, bool)):
        return gaussian(
            (), [1], float(value), *[float(value) * value] * 3
        )  # infinite where masks are: `**` would raise
    raise NoRule(f"one operand is of unknown values ({type(value).__name__.lower()})")


def _like(shape: tuple[int, ...], axes: Axes) -> Axes:
    """The kinds that axes of this shape have beside those, aligned at the right."""
    found = []
    for at, size in zip(range(-len(shape), 0), shape, strict=True):
        other = axes[at] if len(axes) >= -at else ()
        if size == size_of(other):
            found.append(other)
        else:
            kinds = kinds_of(other)
            found.append(axis(next(iter(kinds)) if len(kinds) == 1 else Kind.FEATURE, size))
    return tuple(found)


def _of_weight(weight: Weight, axes: Axes) -> State:
    own = _like(weight.shape, axes)
    features = count(own, Kind.FEATURE)
    if len(weight.mean) > 1 and int(weight.sizes.sum()) == features:
        mean, second, sizes = weight.mean, weight.second, weight.sizes
    else:
        share = weight.sizes / weight.sizes.sum()
        mean, second, sizes = np.array([share @ weight.mean]), np.array([share @ weight.second]), np.array([features])
    state = gaussian(own, sizes, mean, second, mean**2, mean**2)
    if weight.marginal is None or len(weight.mean) != len(sizes):
        return state
    return replace(state, marginal=weight.marginal)


def _of_constant(array: Array, axes: Axes) -> State:
    x = np.asarray(array, dtype=np.float64)
    if not np.isfinite(x).all():
        raise NoRule("a known tensor holds infinities")
    own = _like(x.shape, axes)
    if x.size == 0 or np.ptp(x) == 0:
        value = float(x.flat[0]) if x.size else 0.0
        return gaussian((), [1], value, value**2, value**2, value**2)
    kinds = [next(iter(kinds_of(a)), Kind.FEATURE) for a in own]
    order = [i for kind in (Kind.SAMPLE, Kind.POSITION, Kind.FEATURE) for i, k in enumerate(kinds) if k is kind]
    b, p, c = (
        int(np.prod([x.shape[i] for i, k in enumerate(kinds) if k is kind]))
        for kind in (Kind.SAMPLE, Kind.POSITION, Kind.FEATURE)
    )
    cube = x.transpose(order).reshape(b, p, c)
    mean, second, positions, samples = moments_of(cube)
    flat = np.sort(cube.ravel()[:: max(1, x.size // MANY)])
    at = np.clip((_probabilities() * len(flat)).astype(int), 0, len(flat) - 1)
    across_positions, across_samples = second if positions is None else positions, 0.0 if samples is None else samples
    state = gaussian(own, [c], mean, second, across_positions, across_samples)
    return replace(state, marginal=latent.moved(flat[at][None], state.mean, state.variance))


def _probabilities() -> Array:
    return np.asarray(np.cumsum(latent.WEIGHTS) - latent.WEIGHTS / 2)


def expanded(state: State, axes: Axes) -> State:
    """Repeated along the axes where it has one entry and they have more."""
    if state.axes == axes:
        return state
    p, b = state.positions, state.samples
    to_p, to_b, to_c = (count(axes, kind) for kind in (Kind.POSITION, Kind.SAMPLE, Kind.FEATURE))
    out = replace(state, axes=axes)
    if to_p > p or to_b > b:
        positions, samples = state.across_positions, state.across_samples
        if to_p > p:
            r = to_p / p
            positions = ((r - 1) * state.second + (to_p - r) * positions) / (to_p - 1)
        if to_b > b:
            r = to_b / b
            same = (state.second + (to_p - 1) * positions) / to_p
            samples = ((r - 1) * same + (to_b - r) * samples) / (to_b - 1)
        out = replace(out, across_positions=positions, across_samples=samples, latents=None)
    if to_c > state.features and state.features == 1:
        out = out.rows(np.zeros(1, dtype=np.int64), np.array([to_c]))
    elif to_c != state.features:
        out = out.pooled([to_c])
    return out if state.bins is None or (to_p, to_b) != (p, b) else out.beside(state)


def gathered(gradient: Gradient, out: State, state: State) -> Gradient:
    """The gradient of an operand from that of its expansion `out`: summed over repeats, averaged over segments."""
    repeats = out.positions > state.positions or out.samples > state.samples or out.features > state.features
    if not repeats:
        if len(out.sizes) == len(state.sizes):
            return gradient
        return regrouped(total(gradient, out), out, state).flow()
    seen = total(gradient, out)
    rp, rb = out.positions / state.positions, out.samples / state.samples
    g, h, s = seen.second, seen.across_positions, seen.across_samples
    if rp > 1:  # Σ over repeats of one position
        g, h = rp * (g + (rp - 1) * h), rp**2 * h
        s = rp**2 * s
    if rb > 1:
        g, h, s = rb * (g + (rb - 1) * s), rb * (h + (rb - 1) * s), rb**2 * s
    bins = None if rp > 1 or rb > 1 else seen.bins
    back = replace(seen, second=g, across_positions=h, across_samples=s, squares=None, bins=bins)
    if out.features > state.features:
        each = out.features / state.features  # times a feature is repeated, by gradients that are independent
        return back.each(lambda m: np.full(len(state.sizes), each * out.average(m))).flow()
    return regrouped(back, out, state).flow() if len(out.sizes) != len(state.sizes) else back.flow()


def regrouped(seen: GradientMoments, fine: State, coarse: State) -> GradientMoments:
    """Averages over the segments of a coarser division of the same features; if it is none, over all."""
    ends, own = np.cumsum(coarse.sizes), np.cumsum(fine.sizes)
    if len(fine.sizes) == len(coarse.sizes):
        return seen
    if ends[-1] == own[-1] and np.isin(ends, own).all():
        of = np.searchsorted(ends, own)
        weight = np.bincount(of, fine.sizes, len(ends))
        return seen.each(lambda m: np.bincount(of, fine.sizes * m, len(ends)) / weight)
    if ends[-1] == own[-1] and np.isin(own, ends).all():
        of = np.searchsorted(own, ends)
        return seen.each(lambda m: m[of])
    return seen.each(lambda m: np.full(len(ends), fine.average(m)))


def spread_rows(gradient: Gradient, from_: State, to: State) -> Gradient:
    """A gradient at a coarser division, seen at a finer one of the same features."""
    if len(from_.sizes) == len(to.sizes):
        return gradient
    return chosen(gradient, np.searchsorted(np.cumsum(from_.sizes), np.cumsum(to.sizes)))
