"""How what a depthwise convolution makes is spread over its channels, each of which has few weights of its own.

Over channels an output is a mixture: its channel's Σ w² differs from others', and its bias is one number, which may be
all there is. Cumulants of independent terms add up, so

    κ − 3 = a² (κ_w κ_x − 3)/K + b² (κ_b − 3)

with the shares a and b of the variance that K taps and the bias have, and the kurtoses κ of weights, inputs and biases.

Reference: Cornish & Fisher 1938 (quantiles from cumulants, to whose first order the shape is a cubic).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Final

import numpy as np

from fanin.signals import latent
from fanin.signals.bins import Bins
from fanin.signals.frozen import replace
from fanin.signals.latent import Array
from fanin.signals.state import State
from fanin.signals.values import Weight

GAUSSIAN: Final = 3.0
SEEN: Final = 0.1  # of an excess kurtosis: below, a sum is as good as Gaussian
BENDS: Final = (-0.3, 0.15)  # of the cubic: kurtoses of 1.6, flatter than that of an even law, to 14
STEPS: Final = 30
FEWEST: Final = 2  # taps: of one, a cubic of the latent has tails that no bounded weight has


def spread_over_channels(out: State, x: State, weight: Weight, bias: Any) -> State:
    """The same moments, with the marginal that few weights and a bias of some law leave.

    Args:
        out: what a depthwise convolution of x makes; Gaussian as yet.
    """
    if len(out.sizes) > 1 or len(weight.mean) > 1:
        return out
    taps = math.prod(weight.shape[2:])
    own = float(bias.variance @ bias.sizes / bias.sizes.sum()) if isinstance(bias, Weight) else 0.0
    of_bias = bias.kurtosis if isinstance(bias, Weight) else GAUSSIAN
    of_one = weight.kurtosis * _kurtosis(x) - GAUSSIAN
    if out.bins is None:
        shape = _shape(out.variance, own, of_one / taps, of_bias)[0]
        return out if shape is None else replace(out, marginal=latent.moved(shape[None], out.mean, out.variance))
    most = float(np.max(out.bins.variance)) - own
    inside = np.maximum((out.bins.variance - own) / max(most, 1e-300), FEWEST / taps)  # the share that meets an input
    shapes = _shape(out.bins.variance, own, of_one / (taps * inside), of_bias)
    if all(shape is None for shape in shapes):
        return out
    return out.binned(_shaped(out.bins, [latent.NODES if s is None else s for s in shapes]))


def _shape(variance: Array, own: float, of_taps: Array | float, of_bias: float) -> list[Array | None]:
    share = np.clip(own / np.maximum(variance, 1e-300), 0.0, 1.0)
    excess = (1 - share) ** 2 * of_taps + share**2 * (of_bias - GAUSSIAN)
    return [of_kurtosis(round(float(e), 3)) for e in excess]


@lru_cache(maxsize=256)
def of_kurtosis(excess: float) -> Array | None:
    """A symmetric shape with this kurtosis − 3, at the nodes of the latent; None where it is as good as Gaussian.

    It is a cubic of the latent, as far out as that rises.

    Example:
        >>> shape = of_kurtosis(-1.0)
        >>> variance, fourth = (float(shape**n @ latent.WEIGHTS) for n in (2, 4))
        >>> round(fourth / variance**2, 3)
        2.0
    """
    if abs(excess) < SEEN:
        return None
    low, high = BENDS
    for _ in range(STEPS):
        middle = (low + high) / 2
        x = _cubic(middle)
        below = latent.expectation(x**4) / latent.expectation(x**2) ** 2 - GAUSSIAN < excess
        low, high = (middle, high) if below else (low, middle)
    return _cubic((low + high) / 2)


def _cubic(bend: float) -> Array:
    z = latent.NODES[len(latent.NODES) // 2 :]
    rises = np.maximum.accumulate(z + bend * (z**3 - 3 * z))
    return np.asarray(np.concatenate([-rises[::-1], rises]))


def _shaped(bins: Bins, shapes: list[Array]) -> Bins:
    return bins.shaped(latent.moved(np.stack(shapes), bins.mean, bins.variance))


def _kurtosis(x: State) -> float:
    fourth = latent.expectation((x.values - x.mean[:, None]) ** 4)
    return x.average(fourth) / max(x.average(x.variance) ** 2, 1e-300)
