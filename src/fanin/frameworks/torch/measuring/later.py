"""Numbers that may still be on a device, read from there all at once.

To read one number from a GPU is to wait for all that it was given to do. A pass over a model makes hundreds of them,
so nothing is read while it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import torch


@dataclass(slots=True)
class Later:
    """Numbers that may still be on a device: a tensor of one axis, until `read` puts Python's numbers in its place."""

    numbers: Sequence[float] | torch.Tensor


def read(waiting: Iterable[Later]) -> None:
    """Put Python's numbers in the place of tensors: from each device they come in one piece, however many they are."""
    on: dict[torch.device, list[Later]] = {}
    for one in waiting:
        if isinstance(one.numbers, torch.Tensor):
            on.setdefault(one.numbers.device, []).append(one)
    for those in on.values():
        given = [one.numbers.double() for one in those if isinstance(one.numbers, torch.Tensor)]
        found = iter(torch.cat(given).tolist())
        for one, numbers in zip(those, given, strict=True):
            one.numbers = tuple(islice(found, len(numbers)))
