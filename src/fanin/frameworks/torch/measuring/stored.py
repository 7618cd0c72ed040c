"""A closer look at parameters, for a diagnosis: what is equal in them, and what no law leaves in memory.

What it costs is kept small: most of it is looked at only where the moments, or a sample, say that there is something.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import torch

from fanin.frameworks.torch.measuring.looks import Look
from fanin.frameworks.torch.measuring.moments import Sums
from fanin.frameworks.torch.measuring.rows import DIGEST
from fanin.graph import Graph, Parts
from fanin.signals import Stored
from fanin.signals.detail import RUN

_COLUMNS: Final = 64  # of a weight, on which rows are compared before they are compared as a whole
_PART: Final = 1 << 18  # values looked at at a time on a CPU
_FAR: Final = 6.0  # root mean squares, within which the largest value of a random law is one of many
_PRIME: Final = 0x9E3779B97F4A7C15 - (1 << 64)  # as a signed integer


class Apart(NamedTuple):
    """What differs in a parameter, what equals it, and how its values came into memory; see `ParameterSignal`."""

    distinct_rows: int | None
    distinct_units: int | None
    distinct_parts: int | None
    digest: int
    stored: Stored | None


def told_apart(
    graph: Graph,
    looks: Mapping[str, Look],
    values: Mapping[str, torch.Tensor],
    gradients: Mapping[str, torch.Tensor | None],
) -> dict[str, Apart]:
    """By path, given what was seen of each parameter, its values and its gradient."""
    digests = _digests(values, looks)

    def of(path: str, x: torch.Tensor) -> Apart:
        gradient, parts, rows = gradients.get(path), graph.by_path[path].parts, looks[path].rows
        units = rows.count if rows and rows.distinct else distinct_rows(x)
        alike = units is not None and units < x.shape[0] and gradient is not None
        return Apart(
            units,
            _distinct_units(x, gradient) if alike and gradient is not None else units,
            _distinct_parts(x, parts) if parts and x.numel() else None,
            digests[path],
            stored(x, looks[path].sums),
        )

    return {path: of(path, x) for path, x in values.items()}


def distinct_rows(x: torch.Tensor) -> int | None:
    """How many slices along the first axis differ from all others; None of vectors."""
    if x.dim() < 2 or x.numel() == 0:
        return None
    rows = x.reshape(x.shape[0], -1)
    if not x.is_complex() and len(torch.unique(_bits(rows[:, :1]))) == len(rows):
        return len(rows)  # as of nearly all weights that are drawn
    some = _hash(rows[:, :: max(1, rows.shape[1] // _COLUMNS)])
    _, group, size = torch.unique(some, return_inverse=True, return_counts=True)
    if len(size) == len(rows):
        return len(rows)
    alike = size[group] > 1  # on these columns; now on all
    return int((~alike).sum()) + len(torch.unique(_hash(rows[alike])))


def _distinct_units(x: torch.Tensor, gradient: torch.Tensor) -> int | None:
    """Rows of weights with their gradients: those that are equal in both stay so."""
    both = [part.reshape(len(x), -1).to(x.dtype) for part in (x, gradient)]
    return distinct_rows(torch.cat(both, dim=1))


def _distinct_parts(x: torch.Tensor, parts: Parts) -> int:
    """Parts of one shape and the same values, on a sample of them, count once."""
    rows = [x.narrow(parts.axis, p.start, p.size).reshape(1, -1) for p in parts.of(tuple(x.shape)) if p.size]
    return len({(row.shape, int(_hash(_sample(row))[0])) for row in rows})


def stored(x: torch.Tensor, seen: Sums) -> Stored | None:
    """How values came into memory; None where that is not looked for: complex ones, and those of eight bits."""
    if not x.is_floating_point() or x.dtype.itemsize < 2 or x.numel() == 0:
        return None
    largest, smallest = seen.sizes
    if not math.isfinite(largest) or math.isnan(smallest):
        largest, smallest = _sizes(x.reshape(-1))
    second, zeros = seen.second_moment, seen.numbers[2]
    rms = math.sqrt(second) if math.isfinite(second) else math.inf
    torn = _torn(x, x.reshape(-1)) if RUN <= zeros < seen.count and x.dim() > 1 else 0
    if largest <= _FAR * rms:
        return Stored(largest, smallest, torn=torn)
    flat = x.reshape(-1)
    there = flat == largest
    if not there.any():
        there = flat == -largest
    rest = torch.linalg.vector_norm(flat.masked_fill(there, 0), math.inf)
    return Stored(largest, smallest, int(there.sum()), float(rest), torn)


def _sizes(flat: torch.Tensor) -> tuple[float, float]:
    """The largest and the smallest |x| of the finite values, the latter of those that are not 0."""
    largest, smallest = [], []
    for part in torch.split(flat, _PART if flat.is_cpu else flat.numel()):
        sizes = part.abs()
        there = torch.isfinite(sizes)
        largest.append(torch.where(there, sizes, 0).amax())
        smallest.append(torch.where(there & (sizes > 0), sizes, math.inf).amin())
    high, low = torch.stack([torch.stack(largest).amax(), torch.stack(smallest).amin()]).tolist()
    return high, low


def _torn(x: torch.Tensor, flat: torch.Tensor) -> int:
    """Zeros in long runs that end in the middle of a row, see `Stored`."""
    length = flat.numel() // len(x)
    full = torch.nonzero(flat).flatten()
    edges = torch.cat([full.new_tensor([-1]), full, full.new_tensor([flat.numel()])])
    long = torch.nonzero(edges.diff() > max(RUN, length)).flatten()
    rows = x.reshape(len(x), length)
    torn = 0
    for begin, end in ((int(edges[i]) + 1, int(edges[i + 1])) for i in long):
        (above, left), (below, right) = divmod(begin, length), divmod(end, length)
        starts = left and (above == 0 or bool(rows[above - 1, left:].any()))
        stops = right and (below + 1 == len(x) or bool(rows[below + 1, :right].any()))
        torn += end - begin if starts or stops else 0
    return torn


def _digests(values: Mapping[str, torch.Tensor], looks: Mapping[str, Look]) -> dict[str, int]:
    """Equal numbers for tensors that are equal; those that look alike on a sample are compared as a whole."""
    found: dict[str, int] = {}
    kept: dict[tuple[tuple[int, ...], int], list[str]] = {}
    for path, x in values.items():
        rows = looks[path].rows
        known = rows.digest if rows else None
        digest = int(_hash(_sample(x.reshape(1, -1)))[0]) if known is None else known
        twins = kept.setdefault((tuple(x.shape), digest), [])
        same = next((twin for twin in twins if torch.equal(values[twin], x)), None)
        found[path] = found[same] if same else digest + len(twins)
        if same is None:
            twins.append(path)
    return found


def _sample(flat: torch.Tensor) -> torch.Tensor:
    return flat[:, :: max(1, flat.shape[1] // DIGEST)]


def _hash(rows: torch.Tensor) -> torch.Tensor:
    """A 64-bit number for each row, a function of its bits: sums of integers do not depend on their order."""
    bits = _bits(rows).long()
    keys = torch.arange(1, bits.shape[1] + 1, device=bits.device) * _PRIME | 1
    mixed = (bits ^ (bits >> 17)) * keys
    return (mixed ^ (mixed >> 29)).sum(1)


def _bits(rows: torch.Tensor) -> torch.Tensor:
    """As integers of the same width, two of each complex number."""
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    plain = torch.view_as_real(rows).flatten(1) if rows.is_complex() else rows
    return plain.contiguous().view(whole[plain.dtype.itemsize])
