"""The averages of `softmax` by bin: what queries of one bin take from the keys of another.

Behind a causal mask the first query sees one key and the last all of them; a mean over queries says of neither what its
norm divides by. A class token among patches, of any mask, has a bin of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Final

import numpy as np

from fanin.signals.bins import Counts
from fanin.signals.latent import Array
from fanin.signals.softmax import Mask, drawn_logits, interpolated

ROWS: Final = 192  # of all bins together
FEWEST: Final = 8  # of one bin, if it has them


@dataclass(frozen=True, eq=False)
class BinnedRows:
    """Averages over queries i of bin b, i' of bin d, and sums over keys j of bin c; the names are those of `Rows`.

    Attributes:
        mass: E Σ A_ij, (b, c).
        masses: E (Σ_{j ∈ c} A_ij)(Σ_{j' ∈ c'} A_ij'), (b, c, c').
        overlap: E Σ A_ij², (b, c).
        shared: E Σ A_ij A_i'j, i ≠ i', (b, d, c).
        slope, to_key: (b, c).
        slope_shared: (b, d), over all keys.
        to_query, drift: (b,), over all keys.
    """

    mass: Array
    masses: Array
    overlap: Array
    shared: Array
    slope: Array
    to_key: Array
    slope_shared: Array
    to_query: Array
    drift: Array


def binned_rows(
    variance: float, width: int, correlation: float, mask: Mask, queries: Counts, keys: Counts
) -> BinnedRows:
    """For logits of this variance over keys; arguments as of `softmax_rows`.

    Example:
        >>> rows = binned_rows(0.0, 64, 0.0, Mask(4, 4, causal=True), np.array([1, 3]), np.array([1, 3]))
        >>> rows.overlap.sum(1).round(4), round((1 / 2 + 1 / 3 + 1 / 4) / 3, 4)
        (array([1.    , 0.3611]), 0.3611)
    """
    b, c = len(queries), len(keys)
    bins = (tuple(queries.tolist()), tuple(keys.tolist()))
    found = interpolated(lambda s, rho: _drawn(s, width, rho, mask, *bins), variance, correlation)
    shapes = [(b, c), (b, c, c), (b, c), (b, b, c), (b, c), (b, c), (b, b), (b,), (b,)]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    parts = [part.reshape(shape) for part, shape in zip(np.split(found, ends), shapes, strict=True)]
    return BinnedRows(**{field.name: part for field, part in zip(fields(BinnedRows), parts, strict=True)})


@lru_cache(maxsize=256)
def _drawn(
    variance: float, width: int, correlation: float, mask: Mask, queries: tuple[int, ...], keys: tuple[int, ...]
) -> Array:
    rows, weights = _chosen(mask, queries)
    of_key = np.repeat(np.eye(len(keys)), keys, axis=0)
    drawn = drawn_logits(variance, width, correlation, mask.keys, mask.at(rows))
    parts = [share * _averages(logits, unit, length, weights, of_key, width) for share, logits, unit, length in drawn]
    return np.asarray(np.sum(parts, axis=0))


def _chosen(mask: Mask, queries: tuple[int, ...]) -> tuple[Counts, Array]:
    """Rows that stand for those of each bin, and the weight of each row in each bin."""
    seen, most = mask.seen, max(FEWEST, ROWS // len(queries))
    start, chosen = 0, []
    for count in queries:
        own = np.arange(start, start + count)[seen[start : start + count] > 0]  # a row of no keys is not looked at
        chosen.append(own[np.unique(np.linspace(0, len(own) - 1, most).astype(int))] if len(own) else own)
        start += count
    weights = np.zeros((len(queries), sum(map(len, chosen))))
    at = 0
    for row, own in zip(weights, chosen, strict=True):
        row[at : at + len(own)] = 1 / max(len(own), 1)
        at += len(own)
    return np.concatenate(chosen), weights


def _averages(logits: Array, unit: Array, length: Array, weights: Array, of_key: Array, width: int) -> Array:
    """The fields of `BinnedRows`, one after the other, of drawn matrices of shape (draws, rows, keys)."""
    a = np.exp(logits - logits.max(-1, keepdims=True))
    a /= a.sum(-1, keepdims=True)
    squared = a * a
    overlap = squared.sum(-1)
    slope = squared * (1 - 2 * a + overlap[..., None])
    drift = (a * unit).sum(-1)
    along = (squared * (unit - drift[..., None]) ** 2).sum(-1)
    mass = a @ of_key
    by_key = [(x @ of_key).mean(0) for x in (squared, slope, length[..., None] * slope)]
    to_query = ((width - 1) * slope.sum(-1) + along) / width

    columns, of_squares = weights @ a, weights @ squared
    own = weights**2
    apart = 1 - np.diag(own.sum(1))  # two rows of one bin are different rows
    alone = np.diag(apart) <= 0
    n = len(a)
    shared = np.stack([(columns * columns[:, b : b + 1]).mean(0) @ of_key for b in range(len(weights))])
    gram = ((a @ a.swapaxes(-1, -2)) ** 2).mean(0)
    crossed = np.einsum("nbj,ndj->bd", of_squares, columns) / n
    both = np.einsum("nbj,ndj->bd", columns, columns) / n - crossed - crossed.T + weights @ gram @ weights.T
    diagonal = np.arange(len(weights))
    shared[diagonal, diagonal] -= own @ by_key[0]
    both[diagonal, diagonal] -= own @ slope.sum(-1).mean(0)
    apart[diagonal[alone], diagonal[alone]] = np.inf  # no such pair
    return np.concatenate(
        [
            np.ravel(x)
            for x in (
                weights @ mass.mean(0),
                np.einsum("bi,nic,nid->bcd", weights, mass, mass) / n,
                weights @ by_key[0],
                shared / apart[..., None],
                weights @ by_key[1],
                weights @ by_key[2],
                both / apart,
                weights @ to_query.mean(0),
                weights @ (drift**2).mean(0),
            )
        ]
    )
