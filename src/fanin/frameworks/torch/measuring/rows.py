"""Whether the units of a weight, its slices along the first axis, are all equal, or all differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

from fanin.frameworks.torch.measuring.later import Later
from fanin.frameworks.torch.measuring.together import Together, by_dtype, here, waits

DIGEST: Final = 1 << 12  # values of a parameter, evenly strided, that its digest is made of


@dataclass(slots=True)
class Rows(Later):
    """What is known of the slices of one tensor.

    Attributes:
        numbers: 1 where all are equal, and there are at least two.
        count: how many there are.
        distinct: all differ, as is seen at a glance; False may be either.
        digest: equal for tensors of equal bits; None where it was not made.
    """

    count: int = 0
    distinct: bool = False
    digest: int | None = None

    @property
    def same(self) -> bool:
        """All are equal, once that is read."""
        return bool(self.numbers[0])


def rows(x: torch.Tensor, small: Together[Rows]) -> Rows:
    """Of a parameter or its gradient; small ones wait for one another, and on a GPU nothing is waited for."""
    count = len(x) if x.dim() > 1 and x.numel() else 0
    if waits(x):
        return small.add(x.contiguous(), Rows((), count))
    if count < 2 or (here(x) and not torch.equal(x[0], x[1])):  # the first two nearly always decide
        return Rows((0.0,), count)
    return Rows((x == x[:1]).all().reshape(1), count)


def rows_together() -> Together[Rows]:
    """Where small tensors wait for one another."""
    return Together(_look)


def _look(tensors: Sequence[torch.Tensor], those: Sequence[Rows]) -> None:
    from fanin.frameworks.compiled.rows import rows_each

    for arrays, some in by_dtype(tensors, those):
        for one, seen in zip(some, rows_each(arrays, [one.count for one in some], DIGEST), strict=True):
            one.numbers, one.distinct, one.digest = (float(seen.same),), seen.distinct, seen.digest
