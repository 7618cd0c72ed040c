"""A softmax matrix A over Gaussian logits: the averages over its rows that moments and gradients of attention need.

For small logit variance s² and n keys, Σ_j A_ij² ≈ e^{s²}/n; beyond s² ≈ 1 the expansion fails (×1.8 to 5 at s² = 4),
and with a mask n differs from row to row. So a few matrices are drawn, on a grid of s², and what lies between is
interpolated.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, field
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fanin.signals.latent import Array

ELEMENTS: Final = 1 << 17  # of all matrices that are drawn for one point of the grid
ROWS: Final = 64  # of one matrix, where all rows are alike
FEWEST: Final = 64  # rows that have the fewest keys, which all count, where rows are not alike
OTHERS: Final = 128  # and of the rest
LOWEST: Final = 1 / 16  # s² below which its averages are linear in s²
PER_OCTAVE: Final = 2
HIDDEN: Final = -1e3  # an additive mask that is lower hides a key
SLICES: Final = 8  # of a mask that differs from sample to sample or from head to head


@dataclass(frozen=True)
class Rows:
    """Averages over the rows i of A, each with the weights A_ij of its keys j.

    Attributes:
        overlap: E Σ_j A_ij², one over the effective number of keys.
        shared: E Σ_j A_ij A_i'j, i ≠ i'.
        slope: E Σ_j (∂/∂logits of Σ_j A_ij a_j)² for independent a_j of variance 1,
            = E Σ_j A_ij² (1 − 2 A_ij + Σ_l A_il²).
        slope_shared: E Σ_j A_ij A_i'j (1 − A_ij − A_i'j + Σ_l A_il A_i'l), i ≠ i': the same of two rows.
        to_query: as slope, weighed by the keys' components, one of which is along the query.
        to_key: as slope, weighed by |query|²: a long query has a sharp row.
        drift: E (Σ_j A_ij l_ij)², l the logits brought to variance 1: how far along the query the attended key is.
        entropy: E −Σ_j A_ij ln A_ij.
    """

    overlap: float
    shared: float
    slope: float
    slope_shared: float
    to_query: float
    to_key: float
    drift: float
    entropy: float


@dataclass(frozen=True)
class Mask:
    """Which keys a query sees, and what is added to its logits.

    Attributes:
        queries, keys: the sizes of the matrix.
        causal: query i sees the keys up to i.
        added: to the logits, shape (slices, queries or 1, keys or 1); −∞ hides a key.
    """

    queries: int
    keys: int
    causal: bool = False
    added: NDArray[Any] | None = field(default=None, compare=False, repr=False)
    digest: str = ""

    def plus(self, added: NDArray[Any]) -> Mask:
        """With a further constant, of shape (…, queries, keys) or what broadcasts to it."""
        x = np.asarray(added, dtype=np.float32)
        x = x.reshape(-1, *((1,) * max(0, 2 - x.ndim) + x.shape)[-2:])
        x = x[np.unique(np.linspace(0, len(x) - 1, SLICES).astype(int))]
        x = np.where(x < HIDDEN, -np.inf, x)
        if not x.any():
            return self
        if self.added is not None:
            longest = max(len(x), len(self.added))
            x = np.resize(x, (longest, *x.shape[1:])) + np.resize(self.added, (longest, *self.added.shape[1:]))
        digest = hashlib.blake2b(np.ascontiguousarray(x).tobytes() + str(x.shape).encode(), digest_size=16).hexdigest()
        return Mask(self.queries, self.keys, self.causal, x, digest)

    @property
    def uniform(self) -> bool:
        """Every row sees every key alike."""
        return not self.causal and self.added is None

    def rows(self) -> tuple[Array, Array]:
        """Rows that stand for all: what is added to each, (slices, rows, keys), and their weights.

        Those with the fewest keys all count, since Σ A² is largest there.
        """
        if self.uniform:
            n = min(self.queries, ROWS)
            return np.zeros((1, n, 1)), np.full(n, 1 / n)
        seen = self.seen
        order = np.argsort(seen, kind="stable")[np.count_nonzero(seen == 0) :]  # a row of no keys is not looked at
        fewest, rest = order[:FEWEST], order[FEWEST:]
        thinned = rest[np.unique(np.linspace(0, len(rest) - 1, OTHERS).astype(int))] if len(rest) else rest
        weight = np.concatenate([np.ones(len(fewest)), np.full(len(thinned), len(rest) / max(len(thinned), 1))])
        return self.at(np.concatenate([fewest, thinned])), weight / weight.sum()

    @property
    def seen(self) -> Array:
        """How many keys each query sees, on average over the slices."""
        if self.added is None:
            up_to = np.arange(1.0, self.queries + 1) if self.causal else np.full(self.queries, float(self.keys))
            return np.asarray(up_to, dtype=np.float64)
        each = np.isfinite(self.added).mean(0)
        if self.causal:
            return np.asarray(np.minimum(np.broadcast_to(each.sum(-1), self.queries), np.arange(self.queries) + 1.0))
        return np.asarray(np.broadcast_to(each.sum(-1) * (self.keys / each.shape[-1]), self.queries))

    def at(self, rows: NDArray[np.int64]) -> Array:
        """What is added to the logits of these rows, (slices, rows, keys)."""
        whole = np.zeros((1, 1, 1)) if self.added is None else self.added
        added = np.asarray(whole[:, rows] if whole.shape[1] > 1 else whole, dtype=np.float64)
        if self.causal:
            added = added + np.where(np.arange(self.keys) <= rows[:, None], 0.0, -np.inf)
        return np.asarray(np.broadcast_to(added, (len(added), len(rows), added.shape[-1])))


def softmax_rows(variance: float, width: int, correlation: float, mask: Mask) -> Rows:
    """The averages for logits q_i·k_j of this variance over keys.

    Args:
        variance: s², over the keys of one row, on average over queries.
        width: components of q and k: the squared length of q, and with it s², varies by 2/width from row to row.
        correlation: of two queries.

    Example:
        >>> rows = softmax_rows(0.0, 64, 0.0, Mask(16, 16, causal=True))
        >>> round(rows.overlap, 4), round(sum(1 / n for n in range(1, 17)) / 16, 4)
        (0.2113, 0.2113)
    """
    found = interpolated(lambda s, rho: np.array(astuple(_drawn(s, width, rho, mask))), variance, correlation)
    return Rows(*(float(x) for x in found))


def interpolated(drawn: Callable[[float, float], Array], variance: float, correlation: float) -> Array:
    """Between the points of a grid of logit variances and correlations of two queries."""
    low, high, t = _grid(variance)
    at = min(max(correlation, 0.0), 1.0) * 2
    rho, u = min(int(at), 1) / 2, at - min(int(at), 1)

    def found(s: float) -> Array:
        first = drawn(s, rho)
        if not u or not s:  # two rows of one distribution over keys are alike, whatever the queries are
            return first
        return _between(first, drawn(s, rho + 0.5), u)

    return _between(found(low), found(high), t) if t else found(low)


def _grid(variance: float) -> tuple[float, float, float]:
    """The points of the grid around s², and how far it is from one to the other."""
    if variance < LOWEST:
        return 0.0, LOWEST, max(variance, 0.0) / LOWEST
    step = math.floor(math.log2(variance / LOWEST) * PER_OCTAVE)
    low, high = (LOWEST * 2 ** (k / PER_OCTAVE) for k in (step, step + 1))
    return low, high, (variance - low) / (high - low)


def _between(a: NDArray[np.float64], b: NDArray[np.float64], t: float) -> NDArray[np.float64]:
    """Geometric where it can be: the averages grow as e^{s²}."""
    positive = (a > 0) & (b > 0)
    safe_a, safe_b = np.where(positive, a, 1.0), np.where(positive, b, 1.0)
    return np.where(positive, safe_a ** (1 - t) * safe_b**t, (1 - t) * a + t * b)


@lru_cache(maxsize=1024)
def _drawn(variance: float, width: int, correlation: float, mask: Mask) -> Rows:
    added, weights = mask.rows()
    if not len(weights):
        return Rows(*(0.0,) * 8)
    found = np.zeros(8)
    for share, logits, unit, squared_length in drawn_logits(variance, width, correlation, mask.keys, added):
        found += share * _averages(logits, unit, squared_length, weights, width)
    return Rows(*(float(x) for x in found))


def drawn_logits(
    variance: float, width: int, correlation: float, keys: int, added: Array
) -> Iterator[tuple[float, Array, Array, Array]]:
    """Parts of all draws: their share, logits, these without |query|, and |query|²/width; (draws, rows, keys)."""
    rows = added.shape[1]
    draws = max(2, ELEMENTS // (rows * keys), len(added))
    draws = draws if variance else len(added) * max(1, min(8, ELEMENTS // (rows * keys * len(added))))
    random = np.random.default_rng(0)
    for part in np.array_split(np.arange(draws), min(draws, max(1, draws * rows * keys // ELEMENTS))):
        n = len(part)
        common = random.standard_normal((n, 1, width))
        query = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * random.standard_normal((n, rows, width))
        key = random.standard_normal((n, keys, width))
        length = np.linalg.norm(query, axis=-1, keepdims=True)
        unit = (query / length) @ key.swapaxes(-1, -2)
        logits = math.sqrt(variance / width) * length * unit + added[part % len(added)]
        yield n / draws, logits, unit, length[..., 0] ** 2 / width


def _averages(logits: Array, unit: Array, squared_length: Array, weights: Array, width: int) -> NDArray[np.float64]:
    """The fields of `Rows`, of drawn matrices of shape (draws, rows, keys)."""
    a = np.exp(logits - logits.max(-1, keepdims=True))
    a /= a.sum(-1, keepdims=True)
    squared = a * a
    overlap = squared.sum(-1)
    slope = (squared * (1 - 2 * a + overlap[..., None])).sum(-1)
    drift = (a * unit).sum(-1)
    along = (squared * (unit - drift[..., None]) ** 2).sum(-1)
    entropy = -(a * np.log(np.maximum(a, 1e-300))).sum(-1)
    rows = (overlap, slope, ((width - 1) * slope + along) / width, squared_length * slope, drift**2, entropy)
    own, own_slope, to_query, to_key, drifted, own_entropy = (float((x @ weights).mean()) for x in rows)
    pairs = 1 - float(weights @ weights)
    if pairs <= 0:  # one query
        return np.array([own, 0.0, own_slope, 0.0, to_query, to_key, drifted, own_entropy])
    column = np.einsum("nij,i->nj", a, weights)
    of_squares = np.einsum("nij,i->nj", squared, weights)
    gram = a @ a.swapaxes(-1, -2)
    shared = (column**2).sum(-1) - overlap @ weights**2
    slope_shared = (
        (column * (column - 2 * of_squares)).sum(-1)
        + np.einsum("nij,i,j->n", gram**2, weights, weights)
        - slope @ weights**2
    )
    means = (float(x.mean()) / pairs for x in (shared, slope_shared))
    return np.array([own, next(means), own_slope, next(means), to_query, to_key, drifted, own_entropy])
