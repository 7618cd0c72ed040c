"""From an initializer to the law of a weight as the rules see it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fanin.errors import BadInput
from fanin.graph import Parts
from fanin.initializers import Dirac, Identity, Initializer, Jittered, Keep, Law, Mirrored, PerPart, Structure, Target
from fanin.initializers import initializer as as_initializer
from fanin.signals.values import Weight

LITTLE = 0.1  # noise of 1 % of the variance, with which a weight still does what it does without
_SIMPLE = frozenset({Structure.INDEPENDENT, Structure.FIXED})


class _Rows(NamedTuple):
    """Rows of the first axis whose elements have one law."""

    length: int
    mean: float
    second: float
    structure: Structure


def weight_of(initializer: Initializer, target: Target, kept: Law | None = None) -> Weight:
    """Mean and variance of one element, by rows of the first axis, and the structure.

    Rows differ where parts lie one above the other (query, key and value; gates). Parts side by side along another
    axis, and the slices of a stack (experts), count by the average of their first and second moments; their common
    structure is kept.

    Args:
        kept: the law of a parameter that is kept as it is, which no initializer knows.

    Raises:
        BadInput: `Keep` without that law; an initializer that cannot serve the target.

    Example:
        >>> from fanin.graph import Parts
        >>> from fanin.initializers import Normal, PerPart, Target
        >>> qkv = Target("attention.in_proj_weight", (6, 2), parts=Parts(("q", "k", "v")))
        >>> weight = weight_of(PerPart(Normal(0.5), {"v": Normal(1.0)}), qkv)
        >>> weight.variance.tolist(), weight.sizes.tolist()
        ([0.25, 1.0], [4, 2])
    """
    pairs, keeps_norms = (False, False), _keeps_norms(initializer, target)
    below = _below(initializer)
    if isinstance(below, Mirrored):
        initializer.law(target)
        pairs = (below.rows, below.columns)
        keeps_norms = _keeps_norms(as_initializer(below.block), below.half(target))
    rows = _joined(_rows(initializer, target, kept))
    mean = np.array([r.mean for r in rows])
    second = np.array([r.second for r in rows])
    return Weight(
        target.name,
        target.shape,
        mean,
        np.maximum(second - mean**2, 0.0),
        np.array([r.length for r in rows]),
        _common([r.structure for r in rows]),
        pairs=pairs,
        keeps_norms=keeps_norms,
        kurtosis=_kurtosis(initializer, target),
    )


def _kurtosis(initializer: Initializer, target: Target) -> float:
    """Of one element; that of a Gaussian where rows have laws of their own."""
    plain = not isinstance(initializer, Keep | PerPart) and not target.parts
    return initializer.law(target).kurtosis if plain else 3.0


def _keeps_norms(initializer: Initializer, target: Target) -> bool:
    """Orthonormal columns, times a gain: no fewer outputs than inputs."""
    if isinstance(initializer, Keep | PerPart) or target.parts or len(target.shape) < 2:
        return False
    if initializer.law(target).structure not in (Structure.ORTHOGONAL, Structure.ISOMETRY):
        return False
    return target.shape[0] >= target.shape[1]


def _rows(initializer: Initializer, target: Target, kept: Law | None) -> list[_Rows]:
    if isinstance(initializer, Keep):
        if kept is None:
            raise BadInput(f"{target.name} is kept as it is: its law is that of its values, and must be given.")
        return [_alike(kept, target)]
    if target.parts and not initializer.whole:
        initializer = PerPart(initializer)
    if not isinstance(initializer, PerPart):
        return [_alike(_with_structure(initializer, target), target)]
    pieces = [(_rows(what, alone, None), alone.size) for _, what, alone in initializer.pieces(target) if alone.size]
    rows = [row for of_part, _ in pieces for row in of_part]
    if not rows:
        return [_Rows(_length(target), 0.0, 0.0, Structure.FIXED)]
    parts = initializer.parts or target.parts
    if isinstance(parts, Parts) and parts.axis % len(target.shape) == 0 and not parts.slices:
        return rows
    return [_averaged(pieces, target)]


def _alike(law: Law, target: Target) -> _Rows:
    return _Rows(_length(target), law.mean, law.std**2 + law.mean**2, law.structure)


def _length(target: Target) -> int:
    """Of the first axis; 1 for what has no elements or no axes, so that shares of it are numbers."""
    return max(target.shape[0], 1) if target.shape else 1


def _with_structure(initializer: Initializer, target: Target) -> Law:
    """What hands its input on keeps its norm, as far as it hands it on; pairs are seen as their block is."""
    if isinstance(initializer, Mirrored):
        return _with_structure(as_initializer(initializer.block), initializer.half(target))
    law = initializer.law(target)
    if (below := _below(initializer)) is not initializer:
        return replace(law, structure=_with_structure(below, target).structure)
    return replace(law, structure=Structure.ISOMETRY) if isinstance(initializer, (Identity, Dirac)) else law


def _below(what: Initializer) -> Initializer:
    """What a little noise leaves to see."""
    little = isinstance(what, Jittered) and what.relative_std <= LITTLE
    return as_initializer(what.base) if isinstance(what, Jittered) and little else what


def _averaged(pieces: list[tuple[list[_Rows], int]], target: Target) -> _Rows:
    """Over all elements, so many in each piece."""
    of_pieces = [_moments(rows) for rows, _ in pieces]
    mean, second = np.average(of_pieces, axis=0, weights=[size for _, size in pieces])
    return _Rows(
        _length(target), float(mean), float(second), _common([r.structure for rows, _ in pieces for r in rows])
    )


def _moments(rows: list[_Rows]) -> tuple[float, float]:
    count = sum(r.length for r in rows)
    return sum(r.length * r.mean for r in rows) / count, sum(r.length * r.second for r in rows) / count


def _common(structures: list[Structure]) -> Structure:
    if len(set(structures)) == 1:
        return structures[0]
    return Structure.INDEPENDENT if _SIMPLE.issuperset(structures) else Structure.DEPENDENT


def _joined(rows: list[_Rows]) -> list[_Rows]:
    """Neighbours of one law are one."""
    joined = rows[:1]
    for row in rows[1:]:
        if joined[-1][1:] == row[1:]:
            joined[-1] = joined[-1]._replace(length=joined[-1].length + row.length)
        else:
            joined.append(row)
    return joined
