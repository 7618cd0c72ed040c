"""Exact-k masks: of each group of elements, the k whose random words are the smallest.

A group's threshold is found first, in bounded memory; whether an element is kept is then its own affair, so a mask
may be drawn in any parts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.stream.distributions import words
from fanin.stream.elements import Elements, bounds, check_elements, index_array, shape_of
from fanin.stream.keys import Key

_Integers: TypeAlias = npt.NDArray[np.int64]

_CHUNK: Final = 1 << 20  # elements looked at in one go
_SLAB: Final = 1 << 24  # elements whose words are held while groups that interleave are told apart


class _Groups(NamedTuple):
    """Lines of `length` elements, `stride` apart; `stride` of them interleave in `length · stride` elements."""

    length: int
    stride: int

    def of(self, elements: _Integers) -> tuple[_Integers, _Integers]:
        """The group of each element, and its place in it."""
        line, offset = np.divmod(elements, self.stride)
        outer, place = np.divmod(line, self.length)
        return outer * self.stride + offset, place

    def starts(self, groups: _Integers) -> _Integers:
        return groups // self.stride * (self.length * self.stride) + groups % self.stride


def exact_mask(
    key: Key, elements: Elements, shape: tuple[int, ...], keep: int, *, axis: int | None = None
) -> npt.NDArray[np.bool_]:
    """Which elements are kept: in each group exactly `keep`, those with the smallest (word, index).

    All choices of `keep` elements are equally likely but for ties of words, one pair of elements in 2^32; the lower
    index wins them. Masks of one key are nested: what a smaller `keep` keeps, a larger one keeps too.

    Args:
        key: the stream, of the domain `Domain.MASK`.
        elements: row-major indices into the whole tensor: a range, `Runs`, or an array of integers of any shape.
        shape: of the whole tensor.
        keep: how many of each group, from 0 to its size.
        axis: a group is a line along this axis: for a matrix, 0 makes each column a group, and 1 each row. None: the
            whole tensor is one group.

    Returns:
        Booleans in the shape of `elements`.

    Raises:
        BadInput: the tensor has no such axis or elements, or its groups are smaller than `keep`.

    Example:
        >>> from fanin.stream import Domain, key
        >>> exact_mask(key(0, "weight", domain=Domain.MASK), range(12), (3, 4), 1, axis=0).reshape(3, 4).sum(axis=0)
        array([1, 1, 1, 1])

    Reference: the threshold of a long group by radix selection, Knuth, TAOCP vol. 3, 5.2.5. Time: an element asked for
    costs one word; a group of which any is asked for costs its size, in up to three passes. Memory: a few tens of MiB,
    and 13 bytes a group.
    """
    groups = _groups(shape, axis)
    size = math.prod(shape)
    check_elements(elements)
    reach = bounds(elements)
    if reach and reach[1] >= size:
        raise BadInput(f"elements: expected indices of the {size} elements of shape {shape}, got {elements}.")
    if not 0 <= keep <= groups.length:
        raise BadInput(f"keep: expected a number from 0 to {groups.length}, the size of a group, got {keep}.")
    kept = np.full(shape_of(elements), keep > 0)
    if reach and 0 < keep < groups.length:  # without a reach there are no elements
        _fill(key, elements.reshape(-1) if isinstance(elements, np.ndarray) else elements, groups, size, keep, kept)
    return kept


def _fill(key: Key, elements: Elements, groups: _Groups, size: int, keep: int, kept: npt.NDArray[np.bool_]) -> None:
    asked = np.zeros(size // groups.length, dtype=bool)
    for _, chunk in _chunks(elements):
        asked[groups.of(index_array(chunk))[0]] = True
    word, place = np.zeros(len(asked), np.uint32), np.zeros(len(asked), np.int64)
    _find_thresholds(key, groups, np.flatnonzero(asked), keep, word, place)
    flat = kept.reshape(-1)
    for start, chunk in _chunks(elements):
        group, own_place = groups.of(index_array(chunk))
        own, limit = words(key, chunk), word[group]
        flat[start : start + len(chunk)] = (own < limit) | ((own == limit) & (own_place <= place[group]))


def _find_thresholds(
    key: Key, groups: _Groups, asked: _Integers, keep: int, word: npt.NDArray[np.uint32], place: _Integers
) -> None:
    """The (word, place) of the last element that is kept, for the groups asked for."""
    length, stride = groups
    if length > _CHUNK:
        for group, start in zip(asked.tolist(), groups.starts(asked).tolist(), strict=True):
            word[group], place[group] = _select(key, range(start, start + length * stride, stride), keep)
        return
    for group, lines in _lines(key, groups, asked):
        ranked = lines.astype(np.uint64) << np.uint64(32) | np.arange(length, dtype=np.uint64)
        last = np.partition(ranked, keep - 1, axis=1)[:, keep - 1]
        word[group], place[group] = last >> np.uint64(32), last & np.uint64(0xFFFFFFFF)


def _lines(key: Key, groups: _Groups, asked: _Integers) -> Iterator[tuple[_Integers, npt.NDArray[np.uint32]]]:
    """The words of the groups, some groups at a time, a group a row.

    Groups interleave in slabs; the words of a whole slab are drawn faster than a quarter of them one by one.
    """
    length, stride = groups
    slab = stride * max(1, _CHUNK // (length * stride))  # groups
    some = max(1, _CHUNK // length)
    for begin in (np.unique(asked // slab) * slab).tolist():
        here = asked[np.searchsorted(asked, begin) : np.searchsorted(asked, begin + slab)]
        together = 4 * len(here) >= slab and slab * length <= _SLAB
        if together:
            until = min(begin + slab, (int(here[-1]) // stride + 1) * stride)
            drawn = words(key, range(begin * length, until * length)).reshape(-1, length, stride)
        for start in range(0, len(here), some):
            piece = here[start : start + some]
            if together:
                yield piece, drawn[(piece - begin) // stride, :, piece % stride]
            else:
                yield piece, words(key, groups.starts(piece)[:, None] + np.arange(length) * stride)


def _select(key: Key, line: range, keep: int) -> tuple[int, int]:
    """The `keep`-th smallest (word, place) of a long line: the word's upper half, its lower half, then the place."""
    upper, before = _bin_of(keep, sum(np.bincount(w >> 16, minlength=1 << 16) for w in _line_words(key, line)))
    rest = keep - before
    lower, before = _bin_of(
        rest, sum(np.bincount(w[w >> 16 == upper] & 0xFFFF, minlength=1 << 16) for w in _line_words(key, line))
    )
    rest -= before
    wanted, start = upper << 16 | lower, 0
    for w in _line_words(key, line):
        found = np.flatnonzero(w == wanted)
        if rest <= len(found):
            return wanted, start + int(found[rest - 1])
        rest -= len(found)
        start += len(w)
    raise AssertionError("the histograms count what the last pass finds")


def _bin_of(rank: int, histogram: _Integers | int) -> tuple[int, int]:
    """The bin in which the element of that rank (from 1) falls, and how many come before the bin."""
    ends = np.cumsum(histogram)
    found = int(np.searchsorted(ends, rank))
    return found, int(ends[found - 1]) if found else 0


def _line_words(key: Key, line: range) -> Iterator[npt.NDArray[np.uint32]]:
    return (words(key, line[start : start + _CHUNK]) for start in range(0, len(line), _CHUNK))


def _chunks(elements: Elements, size: int = _CHUNK) -> Iterator[tuple[int, range | npt.NDArray[np.integer[Any]]]]:
    return ((start, elements[start : start + size]) for start in range(0, len(elements), size))


def _groups(shape: tuple[int, ...], axis: int | None) -> _Groups:
    if axis is None:
        return _Groups(math.prod(shape), 1)
    if not -len(shape) <= axis < len(shape):
        raise BadInput(f"axis: expected one of the {len(shape)} axes of shape {shape}, got {axis}.")
    return _Groups(shape[axis], math.prod(shape[axis % len(shape) + 1 :]))
