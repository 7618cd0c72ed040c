"""A small population of draws of the weights, each with a few samples of its own: log q of each, layer after layer.

Means over draws follow no formula where a function bends what draws differ in. GELU keeps a large q and halves a small
one: a net's q stays for some layers and is then gone, at another depth in each draw, and for each sample of a draw. A
path is one sample in one draw; a function moves each by what it does to a signal of that size, a layer adds its chance.
Going back, a gradient meets each path where the signal left it.

Layers draw from streams that their numbers name: two branches share what they inherit, and a prediction repeats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from statistics import NormalDist
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fanin.signals.latent import Array

Singles: TypeAlias = NDArray[np.float32]  # what draws leave to chance is a percent: seven digits are plenty

DRAWS: Final = 256
SAMPLES: Final = 32  # of a draw, at most
TINY: Final = 1e-37  # the least that single precision holds in full
GRID: Final = 32  # sizes of q at which a function is asked; between them the logarithm is a straight line
_ONES: Final = np.ones(SAMPLES, np.float32)
_SORTED: Final[Array] = np.array([NormalDist().inv_cdf((d + 0.5) / DRAWS) for d in range(DRAWS)])
_QUANTILES: Final = (_SORTED / math.sqrt(float(np.mean(_SORTED**2)))).astype(np.float32)


@lru_cache(maxsize=640)  # of five hundred layers; 20 MB
def _chance(layer: int, samples: int) -> tuple[Singles, Singles]:
    """What a layer adds to every sample of a draw, (DRAWS, 1), and to each, (DRAWS, samples): standard normal."""
    random = np.random.Generator(np.random.Philox(key=[layer, samples]))
    shared = random.permutation(_QUANTILES)[:, None]
    if samples == 1:
        return shared, np.zeros((DRAWS, 1), np.float32)
    apart = random.standard_normal((DRAWS, samples)).astype(np.float32)
    return shared, apart - apart.mean()


@dataclass(frozen=True, eq=False)
class Paths:
    """Q over its mean E q, of shape (draws, samples).

    Attributes:
        sizes: these, of mean 1.
        of_draws: of each draw, the mean over its samples.
    """

    sizes: Singles
    of_draws: Singles

    @classmethod
    def of(cls, logs: Singles) -> tuple[float, Paths]:
        """From log q: log E q, and the rest."""
        top = float(logs.max())
        sizes = logs - top
        mean, paths = cls.beside_mean(np.exp(sizes, out=sizes))
        paths.__dict__["logs"] = logs - (top + mean)  # sizes may be too small for these to be read from them
        return top + mean, paths

    @classmethod
    def beside_mean(cls, sizes: Singles) -> tuple[float, Paths]:
        """From q: log E q, and the rest."""
        of_draws = _sums(sizes)
        mean = max(float(of_draws.sum()) / sizes.size, TINY)
        return math.log(mean), cls(sizes * (1 / mean), of_draws * (1 / (mean * sizes.shape[1])))

    @classmethod
    def born(cls, amplitudes: Array, start: int, apart: float, samples: int) -> Paths:
        """Of a Gaussian log q = Σ a_l ξ_l, whose samples differ by a variance `apart` in each draw."""
        n = min(samples, SAMPLES)
        logs = sum(
            (a * _chance(start + at, 1)[0] for at, a in enumerate(amplitudes.tolist()) if a),
            np.zeros((DRAWS, 1), np.float32),
        )
        whole = float(amplitudes @ amplitudes)
        of_batch = apart / n if n > 1 else 0.0  # the mean of a batch of few has this much of it
        logs = logs * math.sqrt(max(1 - of_batch / whole, 0.0)) if whole else logs
        return cls.of(logs + math.sqrt(apart) * _chance(start, n)[1])[1]

    @cached_property
    def logs(self) -> Singles:
        """Their logarithms."""
        return np.log(np.maximum(self.sizes, TINY))

    @cached_property
    def batches(self) -> Singles:
        """Log q of each draw, the mean over its samples; in the order of the draws."""
        return np.log(np.maximum(self.of_draws, TINY))

    @cached_property
    def around(self) -> Singles:
        """How far each of these is from their mean."""
        return np.asarray(self.batches - self.batches.sum() / DRAWS)

    @cached_property
    def pairs(self) -> float:
        """E √(q q') over two samples of a draw, beside E q: what a covariance of samples of different sizes keeps."""
        return _over_pairs(self.sizes)

    def widened(self, layer: int, variance: float, apart: float) -> Paths:
        """With what one more layer adds: `variance` to the mean of a batch, `apart` to its samples."""
        n = self.logs.shape[1]
        shared, own = _chance(layer, n)
        middle = _sums(self.logs)[:, None]
        middle = middle - middle.sum() / DRAWS
        size = float(np.vdot(middle, middle))
        if size > 0:  # what few draws have in common by chance with what was before
            shared = shared - float(np.vdot(shared, middle)) / size * middle
            shared = shared / math.sqrt(max(float(np.vdot(shared, shared)) / DRAWS, TINY))
        if n == 1:
            return self.of(self.logs + math.sqrt(variance) * shared)[1]
        more = self.logs + math.sqrt(max(variance - apart / n, 0.0)) * shared
        return self.of(more + math.sqrt(apart) * own)[1]

    def times(self, sizes: Singles) -> tuple[float, Paths]:
        """Of a product with what has these sizes: log of its mean, and the rest."""
        return self.beside_mean(self.sizes * sizes)

    def like(self, samples: int) -> Paths:
        """With so many samples a draw, or one, which is their mean."""
        return self if self.sizes.shape[1] in (1, samples) else Paths(self.of_draws[:, None], self.of_draws)

    def along(self, other: Paths) -> float:
        """Log E q q', of two whose means are 1."""
        if self.sizes.shape != other.sizes.shape:
            return self.times(other.sizes)[0]
        return math.log(max(float(np.vdot(self.sizes, other.sizes)) / self.sizes.size, TINY))

    def along_pairs(self, other: Paths) -> float:
        """The same of two samples of a draw: log E √(q₁ q₂ q₁' q₂')."""
        return math.log(_over_pairs(self.sizes * other.sizes, relative=False))


def _sums(of: Singles) -> Singles:
    """Over the samples of each draw; a product is quicker than a sum over rows so short."""
    return np.asarray(of @ _ONES[: of.shape[1]])


def _over_pairs(sizes: Singles, *, relative: bool = True) -> float:
    n = sizes.shape[1]
    mean = float(sizes.sum()) / sizes.size
    pairs = mean
    if n > 1:
        roots = _sums(np.sqrt(sizes))
        pairs = (float(np.vdot(roots, roots)) / len(roots) - n * mean) / (n * (n - 1))
    return max(pairs / mean if relative else pairs, TINY)  # rounding may leave nothing


class Grid:
    """A few sizes, at which a function of q is asked: between them its logarithm is a straight line.

    Attributes:
        sizes: of q, beside its mean.

    Example:
        >>> logs = np.linspace(-3.0, 3.0, 512).reshape(256, 2)
        >>> grid = Grid(logs)
        >>> bool(np.allclose(grid.along(2 * grid.sizes**2), math.log(2) + 2 * logs))
        True
    """

    def __init__(self, logs: Singles) -> None:
        low, high = float(logs.min()), float(logs.max())
        self.sizes: Array = np.exp(np.linspace(low, high, GRID))
        steps = (logs - low) * ((GRID - 1) / max(high - low, 1e-12))
        below = np.floor(steps)
        self._beyond = steps - below
        self._below = below.astype(np.intp)

    def along(self, values: Array) -> Singles:
        """Logarithm, along the paths, of a positive function with these values."""
        return self.between(np.log(values))

    def between(self, values: Array) -> Singles:
        """Of a function that is itself a straight line between these values."""
        at = values.astype(np.float32)
        found: Singles = (at[1:] - at[:-1]).take(self._below, mode="clip")  # the highest is on the last size
        found *= self._beyond
        found += at.take(self._below)
        return found
