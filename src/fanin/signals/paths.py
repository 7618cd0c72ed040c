"""A small population of draws of the weights, each with a few samples of its own: log q of each, layer after layer.

Means over draws follow no formula where a function bends what draws differ in. GELU keeps a large q and halves a small
one: a net's q stays for some layers and is then gone, at another depth in each draw, and for each sample of a draw. A
path is one sample in one draw; a function moves each by what it does to a signal of that size, a layer adds its chance.
Going back, a gradient meets each path where the signal left it.

Layers draw from streams that their numbers name, so that two branches share what they inherit, and a prediction repeats.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Final

import numpy as np

from fanin.signals.latent import Array

DRAWS: Final = 256
SAMPLES: Final = 32  # of a draw, at most
GRID: Final = 48  # sizes of q at which a function is asked; between them the logarithm is a straight line
_SORTED: Final[Array] = np.array([NormalDist().inv_cdf((d + 0.5) / DRAWS) for d in range(DRAWS)])
_QUANTILES: Final[Array] = _SORTED / math.sqrt(float(np.mean(_SORTED**2)))


@lru_cache(maxsize=256)
def _chance(layer: int, samples: int) -> tuple[Array, Array]:
    """What a layer adds to every sample of a draw, (DRAWS, 1), and to each, (DRAWS, samples): standard normal."""
    random = np.random.Generator(np.random.Philox(key=[layer, samples]))
    shared = random.permutation(_QUANTILES)[:, None]
    if samples == 1:
        return shared, np.zeros((DRAWS, 1))
    apart = random.standard_normal((DRAWS, samples))
    return shared, apart - apart.mean()


def born(amplitudes: Array, start: int, apart: float, samples: int) -> Array:
    """Of a Gaussian log q = Σ a_l ξ_l, whose samples differ by a variance `apart` in each draw."""
    n = min(samples, SAMPLES)
    logs = sum((a * _chance(start + at, 1)[0] for at, a in enumerate(amplitudes) if a), np.zeros((DRAWS, 1)))
    whole = float(amplitudes @ amplitudes)
    of_batch = apart / n if n > 1 else 0.0  # the mean of a batch of few has this much of it
    logs = logs * math.sqrt(max(1 - of_batch / whole, 0.0)) if whole else logs
    return unit(logs + math.sqrt(apart) * _chance(start, n)[1])


def widened(logs: Array, layer: int, variance: float, apart: float) -> Array:
    """With what one more layer adds: `variance` to the mean of a batch, `apart` to its samples."""
    n = logs.shape[1]
    shared, own = _chance(layer, n)
    middle = logs.mean(1, keepdims=True)
    middle = middle - middle.mean()
    size = float(np.sum(middle**2))
    if size > 0:  # as few draws tell it, chance goes with what was before
        shared = shared - float(np.sum(shared * middle)) / size * middle
        shared = shared / math.sqrt(max(float(np.mean(shared**2)), 1e-30))
    both = math.sqrt(max(variance - apart / n, 0.0)) * shared
    return unit(logs + (both + math.sqrt(apart) * own if n > 1 else math.sqrt(variance) * shared))


def unit(logs: Array) -> Array:
    """Such that the mean is 1."""
    return np.asarray(logs - log_mean(logs))


def log_mean(logs: Array) -> float:
    """Log of the mean over all paths."""
    top = float(logs.max())
    return top + math.log(float(np.mean(np.exp(logs - top)))) if math.isfinite(top) else top


def of_batches(logs: Array) -> Array:
    """Log q of each draw, the mean over its samples; in the order of the draws."""
    top = logs.max(1)
    return np.asarray(top + np.log(np.mean(np.exp(logs - top[:, None]), 1)))


def over_pairs(logs: Array) -> float:
    """E √(q q') over two samples of a draw, beside E q: what a covariance of samples of different sizes keeps."""
    n = logs.shape[1]
    if n == 1:
        return 1.0
    roots = np.exp(logs / 2)
    pairs = float(np.mean(roots.sum(1) ** 2 - np.exp(logs).sum(1))) / (n * (n - 1))
    return pairs / math.exp(log_mean(logs))


class Grid:
    """A few sizes, at which a function of q is asked: between them its logarithm is a straight line.

    Attributes:
        sizes: of q, beside its mean.

    Example:
        >>> logs = np.linspace(-3.0, 3.0, 512).reshape(256, 2)
        >>> grid = Grid(logs)
        >>> bool(np.allclose(grid.along(2 * grid.sizes**2), 2 * np.exp(logs) ** 2))
        True
    """

    def __init__(self, logs: Array) -> None:
        low, high = float(logs.min()), float(logs.max())
        self.sizes: Array = np.exp(np.linspace(low, high, GRID))
        steps = (logs - low) * ((GRID - 1) / max(high - low, 1e-12))
        self._below = np.minimum(steps.astype(np.intp), GRID - 2)
        self._beyond = steps - self._below

    def along(self, values: Array) -> Array:
        """Of a positive function with these values, what it is along the paths."""
        logs = np.log(values)
        return np.asarray(np.exp(logs[self._below] + self._beyond * np.diff(logs)[self._below]))
