"""γ x̂ + β behind a norm: its moments, and the gradients of γ and β."""

from __future__ import annotations

import numpy as np

from fanin.signals import latent
from fanin.signals.bins_back import met
from fanin.signals.flow import Flow, Gradient
from fanin.signals.gradient import GradientMoments, total
from fanin.signals.gradient_forms import FEW_TERMS, depending
from fanin.signals.latent import Array
from fanin.signals.orthogonal import Blind
from fanin.signals.state import State, gaussian
from fanin.signals.values import Call, Pulled, Weight, WeightGradient


class Affine:
    """γ x̂ + β."""

    def __init__(self, scale: Weight | None, shift: Weight | None, rows: int) -> None:
        self.scale, self.shift, self.rows = scale, shift, rows
        self.mean, self.second = _moments(scale, rows, 1.0)
        self.shift_mean, self.shift_second = _moments(shift, rows, 0.0)

    def of(self, hat: State) -> State:
        """γ x̂ + β."""
        varied = np.any(self.second - self.mean**2 > 1e-12) or np.any(self.shift_second - self.shift_mean**2 > 1e-12)
        if not varied:
            return hat.scaled(self.mean, self.shift_mean).beside(hat)

        def moment(k: Array) -> Array:
            return np.asarray(self.second * k + 2 * self.mean * hat.mean * self.shift_mean + self.shift_second)

        return gaussian(
            hat.axes,
            hat.sizes,
            self.mean * hat.mean + self.shift_mean,
            moment(hat.second),
            moment(hat.across_positions),
            moment(hat.across_samples),
            marks=hat.marks,
        ).beside(hat)

    def back(self, seen: GradientMoments) -> GradientMoments:
        """γ δ."""
        return seen.times(self.second)

    def through(self, gradient: Gradient, x: State, out: State, left: GradientMoments) -> Gradient:
        """What is left of a gradient before the norm.

        It depends on the latent as it did behind it, but for a Gaussian sum of many: what made that will not ask.
        """
        asked = x.marginal is not None or (x.terms is not None and x.terms.number <= FEW_TERMS)
        return depending(gradient, x, left) if out.root is x.root and asked else left.flow()

    def squares(self, gradient: Gradient, out: State, hat: State) -> tuple[float, float]:
        """E (Σ δ x̂)² and E (Σ δ)² of a feature, over samples and positions."""
        if len(gradient) == 1:
            (flow,) = gradient.values()
            if flow.blind is not None and len(flow.blind.signal) == len(out.sizes):
                one = np.broadcast_to(flow.factor, out.values.shape)
                return _beside(flow, flow.blind, one * hat.values, out), _beside(flow, flow.blind, one, out)
        seen = total(gradient, out)
        if hat.bins is not None:
            return met(hat.bins, *seen.in_bins(out, hat.bins.counts), out.samples), seen.summed(out)
        if out.root is not hat.root:  # γ differs from feature to feature
            return _product(seen, hat, out), seen.summed(out)
        return sum(_along(flow, hat, out) for flow in gradient.values()), seen.summed(out)

    def weights(self, squares: tuple[float, float]) -> Pulled:
        """The gradients of γ and β."""
        if self.scale is not None:
            yield "weight", WeightGradient(max(squares[0], 0.0))
        if self.shift is not None:
            yield "bias", WeightGradient(max(squares[1], 0.0))


def _product(seen: GradientMoments, hat: State, out: State) -> float:
    """E (Σ δ x̂)² of two of which nothing is known but their covariances."""
    n, p = out.samples * out.positions, out.positions
    squared = (
        seen.second * hat.second
        + (p - 1) * seen.across_positions * hat.across_positions
        + (n - p) * seen.across_samples * hat.across_samples
    )
    return n * out.average(squared)


def _along(flow: Flow, hat: State, out: State) -> float:
    """E (Σ δ A(z) x̂)² of a carrier δ: A x̂ is one function of z, as γ x̂ + β and what follows it are of one latent.

    Behind a rectifier and another norm, where E (Σ δ)² is 0, that is n E δ² Var φ(z), and not n E δ² E φ².
    """
    n, p = out.samples * out.positions, out.positions
    values = np.broadcast_to(flow.factor, hat.values.shape) * hat.values
    alike = latent.covariances(values, hat.correlations)
    squared = flow.second * latent.expectation(values**2)
    squared = squared + (p - 1) * flow.across_positions * alike[0] + (n - p) * flow.across_samples * alike[1]
    return n * out.average(squared)


def _beside(flow: Flow, blind: Blind, values: Array, out: State) -> float:
    """E (Σ δ f(z))² of a carrier that is orthogonal to x and 1, but for what is left along x and at borders."""
    rest, share, constant = blind.beside(values / np.where(blind.factor == 0, 1.0, blind.factor))
    rest, size = rest * blind.factor, latent.expectation(np.broadcast_to(blind.factor**2, values.shape))
    n, p = out.samples * out.positions, out.positions
    alike = latent.covariances(rest, out.correlations)
    squared = flow.second * latent.expectation(rest**2)
    squared = squared + (p - 1) * flow.across_positions * alike[0] + (n - p) * flow.across_samples * alike[1]
    squared = squared + blind.border * constant**2 * size * flow.second
    return max(n * out.average(squared) + float(np.mean(share**2)) * blind.along, 0.0)


def affine_of(call: Call, hat: State) -> tuple[State, Affine]:
    """A call's weight and bias, and what they make of x̂."""
    scale, shift = (w if isinstance(w, Weight) else None for w in (call["weight"], call["bias"]))
    affine = Affine(scale, shift, len(hat.sizes))
    return affine.of(hat), affine


def call_name(call: Call) -> str:
    """What the tensor is called in the schema."""
    return "input" if "input" in call.values else "self"


def further(call: Call, out: State) -> list[State]:
    """Saved statistics and new running averages, which no signal flows through."""
    return [gaussian((), [1], 0.0, 1.0, 1.0, 1.0) for _ in call.node.shapes[1:]]


def _moments(weight: Weight | None, rows: int, without: float) -> tuple[Array, Array]:
    if weight is None:
        return np.full(rows, without), np.full(rows, without**2)
    share = weight.sizes / weight.sizes.sum()
    return np.full(rows, share @ weight.mean), np.full(rows, share @ weight.second)
