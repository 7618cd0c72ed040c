"""Statistics of tensors that stay on their device: nothing waits until all of a step are fetched together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch

from fanin.signals import Histogram, Moments
from fanin.signals.detail import BINS

SAMPLE: Final = 1 << 16  # elements, evenly strided, that stand for a larger tensor: a share is known to 0.2 %
_MARGIN: Final = 0.01  # of an activation's range: within it, as in `observe`, an output counts as at the bound


@dataclass
class Fetch:
    """Numbers on a device, each a tensor of no axes, brought over in one go."""

    _waiting: list[torch.Tensor] = field(default_factory=list)
    _arrived: list[float] = field(default_factory=list)

    def add(self, *numbers: torch.Tensor) -> slice:
        """Where they will be once `all` was called."""
        start = len(self._waiting)
        self._waiting += numbers
        return slice(start, len(self._waiting))

    def all(self) -> list[float]:
        """Everything added; waits for the device once, for each device."""
        by_device: dict[torch.device, list[int]] = {}
        for place, number in enumerate(self._waiting):
            by_device.setdefault(number.device, []).append(place)
        found = [math.nan] * len(self._waiting)
        for places in by_device.values():
            values = torch.stack([self._waiting[i].to(torch.float32) for i in places]).tolist()
            for place, value in zip(places, values, strict=True):
                found[place] = value
        return found


def sampled(x: torch.Tensor) -> torch.Tensor:
    """An even sample of a tensor's elements, in float32 at least, in one axis.

    Their distance is odd, so that it does not fall on the same units of every row where rows have 2ⁿ elements.
    """
    flat = x.reshape(-1)
    if (n := flat.numel()) > SAMPLE:
        flat = flat[:: math.ceil(n / SAMPLE) | 1]
    return flat if flat.dtype in (torch.float32, torch.float64) else flat.float()


def moments_of(x: torch.Tensor, bounds: tuple[float, float] | None = None) -> tuple[torch.Tensor, ...]:
    """Mean, second moment, zeros, and, where there are bounds, saturated; of a sample. And the largest |x| of all
    elements, since one that is not finite is enough.
    """
    part = sampled(x)
    n = part.numel()
    found = [part.mean(), part.dot(part) / n, _count(torch.eq, part, 0.0) / n, x.abs().max()]
    if bounds:
        low, high = bounds
        middle, reach = (high + low) / 2, (0.5 - _MARGIN) * (high - low)
        found.append(_count(torch.gt, (part - middle).abs_(), reach) / n)
    return tuple(found)


def _count(compare: Any, x: torch.Tensor, what: float) -> torch.Tensor:
    """How often it is so; ones are summed as floats, which a CPU does three times as fast as it sums bools."""
    return compare(x, what, out=torch.empty_like(x)).sum()  # type: ignore[no-any-return]


def dead_share(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Share of the units along an axis that are 0 everywhere else."""
    others = [i for i in range(x.dim()) if i != axis % x.dim()]
    largest = x.abs().amax(dim=others) if others else x.abs()
    return (largest == 0).sum() / largest.numel()


def averaged(calls: Sequence[Sequence[float]]) -> Moments:
    """Of a module that was called several times; `non_finite` is 1 if a single element is not finite."""
    mean, second, zeros, largest, *saturated = (sum(values) / len(calls) for values in zip(*calls, strict=True))
    return Moments(mean, second, zeros, float(not math.isfinite(largest)), saturated[0] if saturated else None)


def histogram_of(x: torch.Tensor) -> Histogram | None:
    """Of a sample, from its least to its largest finite value."""
    part = sampled(x.detach())
    part = part[torch.isfinite(part)]
    if part.numel() == 0:
        return None
    low, high = float(part.min()), float(part.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts = torch.histc(part, BINS, low, high)
    return Histogram(low, high, tuple(int(count) for count in counts.tolist()))
