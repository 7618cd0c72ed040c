"""What a batch norm makes impossible for the gradients behind it: to add up, or to point along the signal.

The norm takes from δ its mean and its part along x, feature by feature: Σ δ = Σ δ x = 0 over samples and positions. A
convolution of each feature by itself hands that on, ⟨δ, x⟩ being the same in front of it, and Σ δ but for its borders.
What is before an activation φ has Σ δ φ(z) = 0. The gradient of a scale γ there, Σ δ φ'(z) z, is of what φ' z is beside
φ and 1: nothing, for a rectifier.

References: Ioffe & Szegedy 2015; Salimans & Kingma 2016 (gradients of scales that a norm takes out again).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fanin.signals import latent
from fanin.signals.latent import Array


class Normed(NamedTuple):
    """A gradient that comes out of a norm over samples and positions.

    Attributes:
        by_weights: how much larger E δ² is as each feature is divided by its own size, which is that of its weights:
            the way back through those takes it away.
        by_features: likewise as its inputs are few, or made of few: what those are made by takes it away.
        along: E (Σ δ x)² of a feature, which only ε leaves.
    """

    by_weights: float
    by_features: float
    along: float


@dataclass(frozen=True, eq=False)
class Blind:
    """Of a carrier times a factor: to which functions of the latent it is orthogonal, over samples and positions.

    Attributes:
        factor: with which it is; what has come to the factor of its flow since then is a function that it meets.
        signal: x at the nodes, row by row; the other function is 1.
        along: E (Σ δ x)² that is left.
        border: E (Σ δ)² that is left, beside n E δ²: a tap that misses some positions takes what is not a sum over all.
    """

    signal: Array
    along: float
    border: float = 0.0
    factor: Array = field(default_factory=lambda: np.ones((1, 1)))

    def beside(self, values: Array) -> tuple[Array, Array, Array]:
        """What a function of the latent is beside x and 1, and how much of x and of 1 is in it.

        Example:
            >>> rectified = np.maximum(latent.NODES, 0.0)[None]
            >>> rest, share, constant = Blind(rectified, 0.0).beside(3 * rectified + 1)
            >>> bool(np.abs(rest).max() < 1e-12), share.round(6).tolist(), constant.round(6).tolist()
            (True, [3.0], [1.0])
        """
        means = latent.expectation(self.signal), latent.expectation(values)
        x, centred = (of - mean[:, None] for of, mean in zip((self.signal, values), means, strict=True))
        share = latent.expectation(x * centred) / np.maximum(latent.expectation(x * x), 1e-300)
        return centred - share[:, None] * x, share, means[1] - share * means[0]
