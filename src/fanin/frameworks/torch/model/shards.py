"""Which elements of the whole a local tensor holds: arithmetic on shapes and placements, without communication."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import torch

from fanin.stream import Runs

Spans: TypeAlias = tuple[range, ...]
"""The indices along one dimension that are held, in the order in which they are held, as ranges."""


class Split(NamedTuple):
    """One mesh dimension divides what is held of a tensor dimension into `parts`; this process has number `part`.

    With `stripes` above 1, it divides that many consecutive stripes one by one and has the same part of each.
    """

    parts: int
    part: int
    stripes: int = 1


class Piece(NamedTuple):
    """A block of a local tensor, and the elements of the whole that it holds, in its row-major order."""

    place: tuple[slice, ...]
    elements: range | Runs


def spans(size: int, splits: Sequence[Split]) -> Spans:
    """What is left of `size` indices after each split in turn, as `torch.chunk` divides: ⌈n/parts⌉ to each.

    Example:
        >>> spans(10, [Split(parts=4, part=3)]), spans(8, [Split(parts=2, part=1, stripes=2)])
        ((range(9, 10),), (range(2, 4), range(6, 8)))

    Reference: `_StridedShard` of torch.distributed.tensor, which stripes dimensions that FSDP2 divides after tensor
        parallelism did.
    """
    held: Spans = (range(size),)
    for parts, part, stripes in splits:
        total = sum(map(len, held))
        held = tuple(
            span
            for stripe in range(stripes)
            for span in _cut(held, _chunk(_chunk(range(total), stripes, stripe), parts, part))
        )
    return _merged(held)


def agreed(size: int, splits: Sequence[Split]) -> bool:
    """Whether the two orders in which stripes can be read give every process the same elements.

    As many stripes as later mesh dimensions have parts say that those divided first, as tensor parallelism does before
    FSDP2. DTensor reads them in the order of the mesh all the same; of a size that the parts do not divide, it may then
    ascribe to a process other elements than FSDP2 keeps there, even where their number is right.

    Example:
        >>> two_by_three = [Split(parts=3, part=0, stripes=2), Split(parts=2, part=0)]
        >>> agreed(12, two_by_three), agreed(7, two_by_three)
        (True, False)
    """
    return _agreed(size, tuple((s.parts, s.stripes) for s in splits))


@lru_cache(maxsize=4096)
def _agreed(size: int, splits: tuple[tuple[int, int], ...]) -> bool:
    later = [math.prod(parts for parts, stripes in splits[i + 1 :] if stripes == 1) for i in range(len(splits))]
    striped = any(stripes > 1 and stripes == n for (_, stripes), n in zip(splits, later, strict=True))
    if not striped or size % math.prod(parts for parts, _ in splits) == 0:
        return True
    for coordinate in itertools.product(*(range(parts) for parts, _ in splits)):
        read = [Split(parts, at, stripes) for (parts, stripes), at in zip(splits, coordinate, strict=True)]
        made = [s for s in read if s.stripes == 1] + [s._replace(stripes=1) for s in reversed(read) if s.stripes > 1]
        if spans(size, read) != spans(size, made):
            return False
    return True


def pieces(shape: Sequence[int], held: Sequence[Spans]) -> Iterator[Piece]:
    """The blocks of a local tensor that holds the product of these spans of a tensor of this shape.

    `Runs` have two levels: the last divided dimension with all after it, and the divided one before it with all between
    them. Dimensions before those two are walked through index by index; a dimension of many spans, span by span.

    Example:
        >>> list(pieces((4, 10), [(range(1, 3),), (range(5, 8),)]))
        [Piece(place=(slice(0, 2, None), slice(0, 3, None)), elements=Runs(start=15, step=10, count=2, length=3))]
    """
    divided = [axis for axis, found in enumerate(held) if found != (range(shape[axis]),)]
    walked = divided[-2] if len(divided) > 1 else 0  # the axes before it
    for box in itertools.product(*(_blocks(found, axis < walked) for axis, found in enumerate(held))):
        block = tuple(span for _, span in box)
        if all(block):
            yield Piece(tuple(place for place, _ in box), _elements(shape, block))


def _elements(shape: Sequence[int], block: Sequence[range]) -> range | Runs:
    """Of a block that is whole but for two axes, and for axes before them of which it has one index."""
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    start = sum(span.start * stride for span, stride in zip(block, strides, strict=True))
    divided = [axis for axis, span in enumerate(block) if len(span) < shape[axis]]
    inner = divided[-1] if divided else 0
    length = math.prod(map(len, block[inner:]))
    count = math.prod(map(len, block[:inner]))
    if count == 1:
        return range(start, start + length)
    return Runs(start, shape[inner] * strides[inner], count, length)


def _blocks(found: Spans, one_by_one: bool) -> Iterator[tuple[slice, range]]:
    """Where each span lies in the local tensor."""
    at = 0
    for span in found:
        for part in (range(i, i + 1) for i in span) if one_by_one else (span,):
            yield slice(at, at + len(part)), part
            at += len(part)


def _chunk(positions: range, parts: int, index: int) -> range:
    size = -(-len(positions) // parts)
    return positions[index * size : (index + 1) * size]


def _cut(held: Spans, positions: range) -> Iterator[range]:
    """The spans at these consecutive positions of what is held."""
    at = 0
    for span in held:
        if part := span[max(positions.start - at, 0) : max(positions.stop - at, 0)]:
            yield part
        at += len(span)


def _merged(held: Spans) -> Spans:
    found: list[range] = []
    for span in held:
        if found and found[-1].stop == span.start:
            found[-1] = range(found[-1].start, span.stop)
        else:
            found.append(span)
    return tuple(found)


def is_sharded(tensor: torch.Tensor) -> bool:
    """Whether it is a DTensor. Nothing is imported for the question: if nobody imported DTensor, it is not one."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def local_of(tensor: Any) -> torch.Tensor:
    """The memory of a tensor in this process, unknown to autograd."""
    memory: torch.Tensor = tensor._local_tensor if is_sharded(tensor) else tensor
    return memory.detach()


def splits_of(tensor: Any) -> dict[int, list[Split]] | str | None:
    """How each divided dimension of a DTensor is divided; or why it is not known, or None outside of its mesh."""
    from torch.distributed.tensor.placement_types import Replicate, Shard, _StridedShard

    coordinate = tensor.device_mesh.get_coordinate()
    if coordinate is None:
        return None
    found: dict[int, list[Split]] = {}
    for parts, part, placement in zip(tensor.device_mesh.shape, coordinate, tensor.placements, strict=True):
        if isinstance(placement, _StridedShard):
            found.setdefault(placement.dim, []).append(Split(parts, part, int(placement.split_factor)))
        elif isinstance(placement, Shard):
            found.setdefault(placement.dim, []).append(Split(parts, part))
        elif not isinstance(placement, Replicate):
            return "only Replicate and Shard say which elements a process holds; redistribute it first"
    return found


def parts_of(tensor: torch.Tensor, memory: torch.Tensor) -> list[tuple[torch.Tensor, range | Runs]]:
    """Blocks of the memory of a tensor in this process, and the elements of the whole that belong there.

    A tensor that is not sharded is one block. Nothing is sent: a DTensor knows its mesh, its placements and its shape.
    """
    if not is_sharded(tensor):
        return [(memory, range(memory.numel()))]
    splits = splits_of(tensor)
    if not isinstance(splits, dict):
        return []
    held = [spans(size, splits.get(axis, ())) for axis, size in enumerate(tensor.shape)]
    return [(memory[piece.place], piece.elements) for piece in pieces(tensor.shape, held)]
