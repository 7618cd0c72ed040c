"""Whether the units of a weight, its slices along the first axis, are all equal, or all differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch

from fanin.frameworks.torch.measuring.later import Later
from fanin.frameworks.torch.measuring.together import here

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


def rows(x: torch.Tensor) -> Rows:
    """Of a parameter or its gradient; on a GPU nothing is waited for."""
    count = count_of(x)
    if count < 2 or (here(x) and not torch.equal(x[0], x[1])):  # the first two nearly always decide
        return Rows((0.0,), count)
    return Rows((x == x[:1]).all().reshape(1), count)


def count_of(x: torch.Tensor) -> int:
    """How many rows a tensor has; 0 where it has none."""
    return x.shape[0] if x.dim() > 1 and x.numel() else 0
