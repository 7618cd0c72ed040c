"""From the variance of a logarithm to a band: where one draw of the weights lies in 8 of 10 cases."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from fanin.signals.draws import Draws

# The engine's own error of log q and of log E δ², which no width makes smaller: what the benchmark finds on nets with
# norms, where draws hardly differ (benchmarks/predict.py).
FORWARD: Final = 0.02
BACKWARD: Final = 0.1
APART: Final = "signals that a sampled operation reads are drawn independently, and no band is said of what it makes"
MARKS: Final = (0.1, 0.5, 0.9)
TENTH: Final = 1.2815515655446004  # P(|z| < this) = 0.8 for z ~ N(0, 1)


def band_of_draws(mean: float, draws: Draws, error: float = FORWARD, own: float = 0.0) -> tuple[float, float]:
    """The same of a number whose logarithm over draws need not be Gaussian: that of batches, along its paths.

    Args:
        own: variance that is Gaussian and independent of the draws.
    """
    if draws.paths is None:
        return band_of(mean, draws.variance + own, error)
    if not mean > 0:
        return (mean, mean)
    batches = np.sort(draws.paths.batches)  # np.quantile takes three times as long for so few
    low, middle, high = np.interp(MARKS, np.linspace(0, 1, len(batches)), batches) - own / 2
    beside = TENTH * math.hypot(math.sqrt(own), error)
    ends = (middle - math.hypot(middle - low, beside), middle + math.hypot(high - middle, beside))
    return (math.exp(min(math.log(mean) + ends[0], 700.0)), math.exp(min(math.log(mean) + ends[1], 700.0)))


def band_of(mean: float, log_variance: float, error: float = FORWARD) -> tuple[float, float]:
    """The 10th and the 90th percentile of a log-normal number with this mean and this variance of its logarithm.

    A deep net of random weights multiplies many independent factors, which is why the logarithm is near Gaussian: most
    draws lie below the mean, since a few large ones carry it.

    Example:
        >>> [round(end, 3) for end in band_of(1.0, 0.25)]
        [0.465, 1.676]

    Reference: Hanin & Nica 2020.
    """
    if not (mean > 0 and math.isfinite(log_variance)):
        return (mean, mean)
    middle, width = math.log(mean) - log_variance / 2, TENTH * math.hypot(math.sqrt(log_variance), error)
    return (math.exp(min(middle - width, 700.0)), math.exp(min(middle + width, 700.0)))
