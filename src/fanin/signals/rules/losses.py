"""Losses of two tensors, entry by entry: ℓ(x, y), and the mean or the sum of all entries.

The gradient δ = g ∂ℓ/∂x depends on both. Given the latent of x it has a mean and a rest that y decides: two parts, so
that the slope of what made x, a sigmoid under a cross-entropy, meets the right one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from fanin.signals import latent
from fanin.signals.axes import shape_of
from fanin.signals.broadcast import as_state, common_axes, expanded, gathered
from fanin.signals.flow import Gradient, scaled
from fanin.signals.gradient import TINY, GradientMoments, total
from fanin.signals.latent import Array
from fanin.signals.plane import Plane
from fanin.signals.rules.operands import number_of
from fanin.signals.rules.population import Population
from fanin.signals.state import State, aligned, gaussian
from fanin.signals.values import Call, NoRule, Outcome, Pulled, Weight

Of = Callable[[Array, Array], Array]
NONE, MEAN = 0, 1  # reductions, as ATen numbers them


class Loss(NamedTuple):
    """ℓ(x, y) of a prediction x and a target y, and its derivatives."""

    value: Of
    by_x: Of
    by_y: Of


def _of_difference(of: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Loss:
    return Loss(lambda x, y: of(x - y), lambda x, y: slope(x - y), lambda x, y: -slope(x - y))


def _huber(delta: float, by: float) -> Loss:
    """Quadratic to δ, linear beyond: `huber_loss` with by = 1, `smooth_l1_loss` with by = 1/δ."""

    def value(r: Array) -> Array:
        size = np.abs(r)
        return by * np.where(size < delta, 0.5 * r**2, delta * (size - 0.5 * delta))

    return _of_difference(value, lambda r: by * np.clip(r, -delta, delta))


_LEAST: Final = np.exp(-100.0)  # torch cuts the logarithms of binary_cross_entropy at −100


def _log(p: Array) -> Array:
    return np.log(np.maximum(p, _LEAST))


_SQUARED: Final = _of_difference(np.square, lambda r: 2 * r)
_ABSOLUTE: Final = _of_difference(np.abs, np.sign)
_BINARY: Final = Loss(
    lambda x, y: -(y * _log(x) + (1 - y) * _log(1 - x)),
    lambda x, y: (x - y) / np.maximum(x * (1 - x), 1e-12),
    lambda x, y: _log(1 - x) - _log(x),
)


def _binary_of_logits(positive: float) -> Loss:
    """(1 − y) x + (1 + (w − 1) y) ln(1 + e^{−x}), w the weight of the positive."""

    def sigmoid(x: Array) -> Array:
        return 0.5 * (1 + np.tanh(x / 2))

    return Loss(
        lambda x, y: (1 - y) * x + (1 + (positive - 1) * y) * np.logaddexp(0, -x),
        lambda x, y: (1 - y) - (1 + (positive - 1) * y) * sigmoid(-x),
        lambda x, y: (positive - 1) * np.logaddexp(0, -x) - x,
    )


def _margin(x: Array, y: Array) -> Array:
    return -1 / (1 + np.exp(np.clip(x * y, -500, 500)))


_SOFT_MARGIN: Final = Loss(
    lambda x, y: np.logaddexp(0, -x * y), lambda x, y: y * _margin(x, y), lambda x, y: x * _margin(x, y)
)


def _divergence(logarithm: bool) -> Loss:
    """Y (ln y − x), the target y given as it is or by its logarithm."""
    if logarithm:
        return Loss(lambda x, y: np.exp(y) * (y - x), lambda _, y: -np.exp(y), lambda x, y: np.exp(y) * (y - x + 1))
    return Loss(lambda x, y: np.maximum(y, 0) * (_log(y) - x), lambda _, y: -y, lambda x, y: _log(y) - x + 1)


def _smooth(call: Call) -> Loss:
    beta = float(call.get("beta", 1.0))
    return _huber(beta, 1 / beta) if beta else _ABSOLUTE


def _weighted(call: Call) -> Loss:
    positive = 1.0 if call["pos_weight"] is None else number_of(call["pos_weight"])
    if positive is None:
        raise NoRule("classes have weights that differ")
    return _binary_of_logits(positive)


LOSSES: Final[Mapping[str, Callable[[Call], Loss]]] = {
    "mse_loss": lambda _: _SQUARED,
    "l1_loss": lambda _: _ABSOLUTE,
    "smooth_l1_loss": _smooth,
    "huber_loss": lambda call: _huber(float(call.get("delta", 1.0)), 1.0),
    "binary_cross_entropy": lambda _: _BINARY,
    "binary_cross_entropy_with_logits": _weighted,
    "soft_margin_loss": lambda _: _SOFT_MARGIN,
    "kl_div": lambda call: _divergence(bool(call.get("log_target", False))),
}


def loss(call: Call) -> Outcome:
    """A loss of `LOSSES`: q' from the plane of both latents, back g ∂ℓ/∂x."""
    if call["weight"] is not None:
        raise NoRule("entries have weights that differ")
    of = LOSSES[call.node.op](call)
    first = "self" if "self" in call.values else "input"
    pair = _Pair(call, first, "target")
    each = pair.of(of.value)
    reduced = Reduced(call, each)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = reduced.back(gradients[0])
        for name, at, slope in ((first, 0, of.by_x), ("target", 1, of.by_y)):
            if isinstance(call[name], State):
                yield name, pair.back(at, slope, seen)

    return Outcome((reduced.state,), pull)


class Reduced:
    """The loss of each entry, and the mean, the sum or none of all of them.

    Args:
        share: what a mean divides by beside the number of entries: of those that count, and of their weights.
    """

    def __init__(self, call: Call, each: State, share: float = 1.0) -> None:
        how = int(call.get("reduction", MEAN))
        self.over = None if how == NONE else Population.of_dims(each, range(len(each.axes)), keep=False)
        if self.over is None:
            self.state, self.by = each, 1.0
        else:
            self.by = 1 / (self.over.count * share) if how == MEAN else 1.0
            self.state = self.over.mean(each).scaled(self.by * self.over.count)

    def back(self, gradient: Gradient) -> GradientMoments:
        """What comes back to the loss of each entry: all get the same."""
        if self.over is None:
            return total(gradient, self.state)
        return self.over.repeated(gradient, self.state).times(self.by**2)


class _Pair:
    """Prediction and target, broadcast to one another."""

    def __init__(self, call: Call, *names: str) -> None:
        values = [call[name] for name in names]
        known = [v for v in values if isinstance(v, State)]
        if not known or any(isinstance(v, Weight) for v in values):
            raise NoRule("what is compared is no signal")
        axes = common_axes(known, np.broadcast_shapes(*(_shape(v) for v in values)))
        self.operands = [as_state(v, axes) for v in values]
        axes = common_axes(self.operands, shape_of(axes))
        self.x, self.y = aligned(*(expanded(s, axes) for s in self.operands))
        self.together = self.x.root is self.y.root

    def of(self, value: Of) -> State:
        """ℓ(x, y) of each entry."""
        x, y = self.x, self.y
        if self.together:
            return x.of(_finite(value(x.values, y.values)))
        plane = Plane.of(value, x.values, y.values)
        _finite(plane.values)
        positions, samples = (plane.moment(a, b) for a, b in zip(x.correlations, y.correlations, strict=True))
        draws, marks = max(x.draws, y.draws, key=lambda d: d.variance), x.marks | y.marks
        return gaussian(x.axes, x.sizes, plane.mean, plane.second, positions, samples, draws=draws, marks=marks)

    def back(self, which: int, slope: Of, seen: GradientMoments) -> Gradient:
        """G ∂ℓ to one of the two: the part that its latent decides, and the rest."""
        one, other = (self.x, self.y) if which == 0 else (self.y, self.x)
        if self.together:
            found: Gradient = scaled(seen.flow(), _finite(slope(self.x.values, self.y.values)))
        else:
            by = slope if which == 0 else lambda u, v: slope(v, u)
            plane = Plane.of(by, one.values, other.values)
            expected = plane.given_first()
            rest = plane.spread_given_first()
            shape = np.maximum(latent.covariances(rest, one.correlations), TINY)
            pairs = zip(one.correlations, other.correlations, strict=True)
            alike = np.array([plane.moment(a, b) for a, b in pairs]) - latent.covariances(expected, one.correlations)
            apart = seen.scaled(1.0, *(alike / shape))
            found = {**scaled(seen.flow(), expected), **scaled(apart.flow(), rest)}
        return gathered(found, one, self.operands[which])


def _shape(value: Any) -> tuple[int, ...]:
    return shape_of(value.axes) if isinstance(value, State) else np.shape(getattr(value, "array", value))


def _finite(values: Array) -> Array:
    """Raises NoRule where a loss has no finite value on what reaches it."""
    if not np.isfinite(values).all():
        raise NoRule("the loss is not finite on what reaches it")
    return values
