"""Products and quotients of two tensors: of one latent exactly, else independent, each moment the product."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from fanin.signals import latent
from fanin.signals.axes import Axes
from fanin.signals.broadcast import expanded
from fanin.signals.draws import together
from fanin.signals.flow import scaled
from fanin.signals.frozen import replace
from fanin.signals.gradient import total
from fanin.signals.latent import Array
from fanin.signals.paths import Paths
from fanin.signals.rules.operands import affine, covers, number_of, operands, pulled, times
from fanin.signals.rules.pointwise_bins import both_in_bins, multiplied_in_bins, times_in_bins
from fanin.signals.rules.steady import is_steady, stretched
from fanin.signals.state import State, aligned, gaussian
from fanin.signals.twins import TWO
from fanin.signals.values import Call, NoRule, Outcome, Pulled


def multiply(call: Call) -> Outcome:
    """X · y: of one latent, exactly; else independent, each moment the product."""
    for name, other in (("self", "other"), ("other", "self")):
        number = number_of(call[other])
        if isinstance(call[name], State) and number is not None and covers(call[name], call):
            return affine(call, name, number, 0.0)
    x, y, axes = operands(call, "self", "other")
    return _product(call, x, y, axes)


def divide(call: Call) -> Outcome:
    """X / y: the product of x and 1/y, y bounded away from 0."""
    if call.get("rounding_mode", None) is not None:
        raise NoRule("the quotient is rounded")
    number = number_of(call["other"])
    if number and isinstance(call["self"], State):
        return affine(call, "self", 1 / number, 0.0)
    x, y, axes = operands(call, "self", "other")
    return _product(call, x, y, axes, inverse=True)


def _product(call: Call, x: State, y: State, axes: Axes, *, inverse: bool = False) -> Outcome:
    """X · y, or x / y."""
    ex, own = aligned(expanded(x, axes), expanded(y, axes))
    ey = _inverted(own) if inverse else own
    bins = both_in_bins((call["self"], call["other"]), (ex, own))
    slopes = None
    if inverse and bins is not None:
        inverted = _inverse(bins[1].at_nodes)
        bins, slopes = (bins[0], bins[1].of(inverted)), -(inverted**2)
        ey = ey.binned(bins[1])
    together = ex.root is ey.root and not (ex.constant or ey.constant)
    alike = None if inverse or together or x.axes != y.axes else call.twins("self", "other")
    moved = (ex, ey) if is_steady(y, ey, ex) else (ey, ex) if is_steady(x, ex, ey) else None
    if together:
        out = ex.of(ex.values * ey.values)
    elif ex.constant or ey.constant:
        kept, factor = (ex, ey) if ey.constant else (ey, ex)
        out = replace(kept.scaled(float(factor.mean[0])), axes=axes)
    elif alike is not None and len(alike) == len(ex.sizes):
        out, bins = _independent_product(ex, ey, alike).marked(TWO), None
    elif moved is not None:
        out = stretched(*moved)
    else:
        out = _independent_product(ex, ey)
    out = out.binned(multiplied_in_bins(ex, ey, out, bins))

    def pull(gradients: Any) -> Pulled:
        (gradient,) = gradients
        for name, operand, part, other in (("self", x, ex, ey), ("other", y, ey, ex)):
            by_bin = None if bins is None else bins[name == "self"]
            at_nodes = None if by_bin is None else by_bin.at_nodes
            if together or other.constant:
                back = scaled(gradient, other.values if together else float(other.mean[0]), at_nodes)
            elif moved is not None and part is moved[0]:
                sizes = None if by_bin is None else np.sqrt(by_bin.second)[:, None]
                back = scaled(gradient, np.sqrt(other.second)[:, None], sizes)
            elif part.constant or moved is not None:  # δ and the other operand may be functions of one latent
                back = total(scaled(gradient, other.values, at_nodes), other).flow()
            elif by_bin is not None:
                back = times_in_bins(total(gradient, out), out, by_bin).flow()
            else:
                back = times(total(gradient, out), other).flow()
            if inverse and name == "other":
                back = scaled(back, -(_inverse(own.values) ** 2), slopes)
            yield from pulled(call, name, operand, part, back)

    return Outcome((out,), pull)


def _inverted(x: State) -> State:
    """1/x, of degree −1: draws that make x large make it as small."""
    out = x.of(_inverse(x.values))
    if x.draws.paths is None:
        return replace(out, draws=x.draws.times(-1.0))
    mean, paths = Paths.of(-x.draws.paths.logs)
    return replace(out.scaled(math.exp(mean / 2)), draws=x.draws.moved(paths))


RARE: Final = 1e-3  # of a divisor's entries may lie on the other side of 0, or next to it


def _inverse(values: Array) -> Array:
    """1/x of an x that is bounded away from 0, but for what is rare.

    Raises:
        NoRule: it is not.
    """
    side = np.sign(np.median(values, axis=1, keepdims=True))
    size = np.sort(side * values, axis=1)
    order = np.argsort(side * values, axis=1)
    below = np.cumsum(latent.WEIGHTS[order], axis=1)
    bound = np.stack([row[np.searchsorted(mass, RARE)] for row, mass in zip(size, below, strict=True)])[:, None]
    if (bound <= 0).any():
        raise NoRule("the divisor may be 0")
    return np.asarray(side / np.maximum(side * values, bound))


def _independent_product(x: State, y: State, both: Array | None = None) -> State:
    """Each moment the product; with E x y of any two entries of one feature, that of Gaussians (Isserlis 1918)."""
    means = x.mean * y.mean
    crossed = means if both is None else both
    beyond = 2 * (crossed**2 - means**2)
    out = gaussian(
        x.axes,
        x.sizes,
        crossed,
        x.second * y.second + beyond,
        x.across_positions * y.across_positions + beyond,
        x.across_samples * y.across_samples + beyond,
        draws=together([(1.0, x.draws), (1.0, y.draws)]),
        marks=x.marks | y.marks,
        profile=x.profile or y.profile,
    )
    values = latent.independent(lambda u, v: u * v, x.values, y.values)
    out = replace(out, scatter=max(x.own_scatter, y.own_scatter))  # a gate leaves what it lets through as alike
    return replace(out, marginal=latent.moved(values, out.mean, out.variance))
