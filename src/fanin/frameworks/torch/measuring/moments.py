"""The moments of tensors, as sums that stay on the device where they are made until all are read at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import torch

from fanin.frameworks.torch.measuring.later import Later, read
from fanin.frameworks.torch.measuring.together import COMPILED, compiles, here
from fanin.signals import Moments

_PART: Final = 1 << 18  # elements widened at a time on a CPU: they stay in its cache, and no large memory is taken


@dataclass(slots=True)
class Sums(Later):
    """Of one tensor, in float64: what its moments are made of.

    Attributes:
        numbers: Σ x (of complex values, of their real parts), Σ |x|², how many are 0, how many are no finite numbers,
            max |x|, which is not finite where one of them is not; how many are near a bound of the activation that made
            them, 0 or missing where there is none; and min |x| over x ≠ 0, missing where it was not looked for.
        count: how many elements it has.
        near: below and above what they are near a bound; None where that activation has none.
    """

    count: int
    near: tuple[float, float] | None = None

    def moments(self, saturated: bool = True, alike: tuple[float | None, float | None] = (None, None)) -> Moments:
        """Once the numbers are read.

        Args:
            saturated: say what share is near a bound, where there are bounds.
            alike: E x x' over two positions and over two samples, where they are known.
        """
        if not self.count:
            return Moments(math.nan, math.nan)
        total, squares, zeros, broken, _, *rest = self.numbers
        n, near = self.count, rest[0] / self.count if self.near and saturated else None
        return Moments(float(total / n), float(squares / n), zeros / n, broken / n, near, *alike)

    @property
    def second_moment(self) -> float:
        """E[|x|²], once the numbers are read."""
        return float(self.numbers[1] / self.count) if self.count else math.nan

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
    n, near = x.numel(), near_bounds(bounds)
    if not n:
        return Sums((0.0,) * 7, 0)
    x = x.detach()
    if here(x) and x.dtype in COMPILED and compiles():
        from fanin.frameworks.compiled.summed import summed

        return Sums(summed(host(x).reshape(-1), *(near or ())), n, near)
    flat = x.reshape(-1)
    parts = [_part(part, near) for part in torch.split(flat, _PART if here(x) else n)]
    return Sums(parts[0] if len(parts) == 1 else _together(torch.stack(parts)), n, near)


def host(x: torch.Tensor) -> Any:
    """A tensor of a CPU as an array: the same memory, wherever that is possible."""
    return (x.resolve_neg() if x.is_neg() else x).numpy()


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


def near_bounds(bounds: tuple[float, float] | None) -> tuple[float, float] | None:
    """Below the first and above the second number, an activation is near one of its bounds; None where it has none."""
    if bounds is None:
        return None
    low, high = bounds
    margin = 0.01 * (high - low)
    return low + margin, high - margin
