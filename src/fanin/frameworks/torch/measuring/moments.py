"""The moments of tensors, as sums that stay on the device where they are made until all are read at once.

To read one number from a GPU is to wait for all that it was given to do. A pass over a model makes hundreds of them,
so nothing is read while it runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, Final

import torch

from fanin.signals import Moments

COMPILED: Final = frozenset({torch.float32, torch.float64})  # what is passed over in one call on a CPU
_PART: Final = 1 << 18  # elements widened at a time on a CPU: they stay in its cache, and no large memory is taken


@dataclass(slots=True)
class Later:
    """Numbers that may still be on a device: a tensor of one axis, until `read` puts Python's numbers in its place."""

    numbers: Sequence[float] | torch.Tensor


@dataclass(slots=True)
class Sums(Later):
    """Of one tensor, in float64: what its moments are made of.

    Attributes:
        numbers: Σ x (of complex values, of their real parts), Σ |x|², how many are 0, how many are no finite numbers,
            max |x|, which is not finite where one of them is not; how many are near a bound of the activation that made
            them, 0 or missing where there is none; and min |x| over x ≠ 0, missing where it was not looked for.
        count: how many elements it has.
        bounded: that activation has bounds.
    """

    count: int
    bounded: bool = False

    def moments(self, saturated: bool = True) -> Moments:
        """Once the numbers are read.

        Args:
            saturated: say what share is near a bound, where there are bounds.
        """
        if not self.count:
            return Moments(math.nan, math.nan)
        total, squares, zeros, broken, _, *rest = self.numbers
        n, near = self.count, rest[0] / self.count if self.bounded and saturated else None
        return Moments(float(total / n), float(squares / n), zeros / n, broken / n, near)

    @property
    def sizes(self) -> tuple[float, float]:
        """Max |x| and min |x| over x ≠ 0, once they are read; NaN for what was not looked for."""
        return float(self.numbers[4]), float(self.numbers[6]) if len(self.numbers) > 6 else math.nan


def moments(x: torch.Tensor, bounds: tuple[float, float] | None = None) -> Moments:
    """The moments of one tensor, read at once, accumulated in float64 so that float32 values up to 1e38 can be squared.

    Of complex values, the mean of the real part and E[|x|²].
    """
    seen = sums(x, bounds)
    read([seen])
    return seen.moments()


def sums(x: torch.Tensor, bounds: tuple[float, float] | None = None) -> Sums:
    """What the moments of a tensor are made of; on a GPU they are not waited for.

    Args:
        bounds: of the activation that made it. Within 1 % of the range from a bound tanh, say, has lost 98 % of its
            slope.
    """
    n, near = x.numel(), _near(*bounds) if bounds else None
    if not n:
        return Sums((0.0,) * 7, 0, near is not None)
    if x.dtype in COMPILED and here(x) and (compiled := _compiled()):
        summed, beyond = compiled
        array = host(x).reshape(-1)
        *others, smallest = summed(array)
        return Sums((*others, beyond(array, *near) if near else 0, smallest), n, near is not None)
    flat = x.reshape(-1)
    parts = [_part(part, near) for part in torch.split(flat, _PART if here(x) else n)]
    return Sums(parts[0] if len(parts) == 1 else _together(torch.stack(parts)), n, near is not None)


def here(x: torch.Tensor) -> bool:
    """Its numbers can be looked at without waiting for a device."""
    return x.is_cpu


def host(x: torch.Tensor) -> Any:
    """A tensor of a CPU as an array: the same memory, wherever that is possible."""
    return (x.resolve_neg() if x.is_neg() else x).numpy()


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


def same_rows(x: torch.Tensor) -> Later:
    """1 where all slices along the first axis are equal, and there are at least two."""
    if x.dim() < 2 or x.shape[0] < 2 or x.numel() == 0:
        return Later((0.0,))
    if here(x) and not _equal(x[0], x[1]):  # the first two nearly always decide
        return Later((0.0,))
    return Later((x == x[:1]).all().reshape(1))


def _equal(x: torch.Tensor, y: torch.Tensor) -> bool:
    return bool((host(x) == host(y)).all()) if x.dtype in COMPILED else torch.equal(x, y)


def _part(x: torch.Tensor, near: tuple[float, float] | None) -> torch.Tensor:
    """The numbers of `Sums`, in as few kernels as may be: on few values, their launches are what takes time."""
    wide = x.to(torch.complex128 if x.is_complex() else torch.float64)
    size = wide.abs() if x.is_complex() else wide
    numbers = [
        wide.sum().real,
        torch.dot(size, size),
        len(x) - torch.count_nonzero(x),
        torch.count_nonzero(size - size),  # NaN of an infinity or a NaN
        torch.linalg.vector_norm(size, math.inf),
    ]
    if near:
        numbers.append(torch.count_nonzero((x < near[0]) | (x > near[1])))
    return torch.stack(numbers)


def _together(parts: torch.Tensor) -> torch.Tensor:
    """Of several parts of a tensor, a row each; all are sums but for the largest."""
    numbers = parts.sum(0)
    numbers[4] = parts[:, 4].amax()
    return numbers


def _near(low: float, high: float) -> tuple[float, float]:
    """Below the first and above the second number, an activation is near one of its bounds."""
    margin = 0.01 * (high - low)
    return low + margin, high - margin


@cache
def _compiled() -> tuple[Callable[..., Sequence[float]], Callable[..., int]] | None:
    """The pass over arrays; None where numba cannot be imported, as where NumPy is newer than it knows."""
    try:
        from fanin.frameworks.summed import beyond, summed
    except ImportError:
        return None
    return summed, beyond
