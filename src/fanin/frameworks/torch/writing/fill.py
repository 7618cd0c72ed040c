"""Fill the memory of one parameter in this process with the elements of the whole that belong there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from fanin.frameworks.torch.writing import gpu
from fanin.initializers import Initializer, Target
from fanin.initializers.base import COMPLEX
from fanin.stream import Distribution, Key, Runs, key, sample
from fanin.stream.destination import may_overlap
from fanin.stream.laws import FORMATS

DTYPES: Final = {getattr(torch, name): name for name in (*FORMATS, *COMPLEX)}
TEMPORARY = 1 << 22  # elements drawn beside the memory at a time, where they cannot be drawn into it
WORTH_A_KERNEL = 1 << 12  # elements: for fewer, a copy from the host is no slower than a launch
_PATTERNS: Final = {1: torch.uint8, 2: torch.uint16}  # by bytes: how NumPy holds the formats that it does not have

Part: TypeAlias = tuple[torch.Tensor, range | Runs]
"""A tensor in this process, and the elements of the whole that belong there, as many, in row-major order."""


def fill_(parts: Sequence[Part], target: Target, what: Initializer, seed: int) -> None:
    """Write each part's elements, drawn under the name of the whole.

    Memory on the CPU and on a GPU with Triton is drawn into; that of other devices, and memory whose elements
    interleave, is filled through a temporary of `TEMPORARY` elements. What is not drawn element by element, as an
    orthogonal matrix, is drawn for all parts at once, beside them.

    Raises:
        BadInput: the values do not fit in the dtype.
    """
    parts = [(place, elements) for place, elements in parts if elements]
    sampling = what.sampling(target) if parts and target.dtype not in COMPLEX else None
    if sampling is not None:
        stream = key(seed, target.name)
        for place, elements in parts:
            _sample(place, stream, elements, sampling)
    elif parts:
        _draw(parts, target, what, seed)


def _sample(place: torch.Tensor, stream: Key, elements: range | Runs, law: Distribution) -> None:
    dtype = DTYPES[place.dtype]
    if place.device.type == "cpu" and ((array := _array(place)).flags.c_contiguous or not may_overlap(array)):
        sample(stream, elements, law, dtype=dtype, out=array)
        return
    if place.numel() >= WORTH_A_KERNEL and gpu.available(place):
        runs = elements if isinstance(elements, Runs) else Runs(elements.start, 0, 1, len(elements))
        gpu.fill_(place, stream, law.law, runs.start, step=runs.step, length=runs.length)
        return
    for block, some in _blocks(place, elements):
        block.copy_(_tensor(sample(stream, some, law, dtype=dtype), block))


def _draw(parts: Sequence[Part], target: Target, what: Initializer, seed: int) -> None:
    law = what.law(target)
    if law.low == law.high:  # all are alike, so one says them all
        value = what.draw(target, seed, range(1))
        for place, _ in parts:
            place.copy_(_tensor(value, place[(0,) * place.dim()]))
        return
    values = what.draw(target, seed, _together(parts, target.size))
    at = 0
    for place, elements in parts:
        place.copy_(_tensor(values[at : at + len(elements)], place))
        at += len(elements)


def _together(parts: Sequence[Part], size: int) -> range | Runs | npt.NDArray[np.integer[Any]] | None:
    """The elements of all parts; None for the whole, which most initializers draw as it is."""
    if len(parts) == 1:
        (_, elements) = parts[0]
        return None if elements == range(size) else elements
    return np.concatenate([e[:] if isinstance(e, Runs) else np.array(e, np.uint64) for _, e in parts])


def _array(place: torch.Tensor) -> npt.NDArray[Any]:
    """The memory of a tensor as the stream writes it."""
    stored = FORMATS[DTYPES[place.dtype]].stored
    values: npt.NDArray[Any] = (place if stored.kind == "f" else place.view(_PATTERNS[stored.itemsize])).numpy()
    return values


def _tensor(values: npt.NDArray[Any], like: torch.Tensor) -> torch.Tensor:
    """Values of the stream as a tensor of the dtype and shape of another."""
    return torch.from_numpy(np.ascontiguousarray(values)).view(like.dtype).view(like.shape)


def _blocks(place: torch.Tensor, elements: range | Runs) -> Iterator[Part]:
    """A part in blocks of at most `TEMPORARY` elements."""
    if len(elements) <= TEMPORARY:
        yield place, elements
        return
    row = place[0].numel()
    if row > TEMPORARY:
        for i, inner in enumerate(place):
            yield from _blocks(inner, _between(elements, i * row, (i + 1) * row))
        return
    rows = TEMPORARY // row
    for first in range(0, len(place), rows):
        block = place[first : first + rows]
        yield block, _between(elements, first * row, first * row + block.numel())


def _between(elements: range | Runs, begin: int, end: int) -> range | Runs:
    """The elements at these positions, which are within one run or at the limits of runs: rows of a block are so."""
    if isinstance(elements, range):
        return elements[begin:end]
    run, within = divmod(begin, elements.length)
    start = elements.start + run * elements.step
    if end - begin <= elements.length - within:
        return range(start + within, start + within + end - begin)
    return Runs(start, elements.step, (end - begin) // elements.length, elements.length)
