"""How the values of a tensor are spread, seen on an evenly strided sample of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from fanin.frameworks import closer
from fanin.frameworks.torch.measuring.moments import COMPILED, here, host
from fanin.signals import Histogram
from fanin.signals.detail import BINS, OCTAVES, SAMPLE

_MOST_WAITING: Final = 256  # samples on a device: 16 MiB in float32
_Array = npt.NDArray[np.floating]


class Spread(NamedTuple):
    """Of a sample; see `fanin.signals.Detail`. Both sizes are of its finite values."""

    largest: float
    smallest: float
    magnitudes: tuple[float, ...]
    histogram: Histogram | None


@dataclass(slots=True)
class Sample:
    """Some values of a tensor, and how they are spread once they are on the host."""

    values: torch.Tensor | None
    spread: Spread | None = None


class Samples:
    """Takes samples; those on a device wait there for one another, and come to the host together."""

    def __init__(self) -> None:
        self._waiting: list[Sample] = []

    def of(self, x: torch.Tensor) -> Sample:
        """Of a tensor with at least one element."""
        step = max(1, x.numel() // SAMPLE)
        if here(x) and x.dtype in COMPILED:
            return Sample(None, spread(host(x).reshape(-1)[: step * SAMPLE : step]))
        some = x.reshape(-1)[::step][:SAMPLE]
        if here(x):
            return Sample(None, spread(some.double().numpy()))
        sample = Sample(some.clone())  # the strided view would keep all of the tensor
        self._waiting.append(sample)
        if len(self._waiting) >= _MOST_WAITING:
            self.settle()
        return sample

    def settle(self) -> None:
        """Look at all that wait."""
        on: dict[torch.device, list[Sample]] = {}
        for sample in self._waiting:
            if sample.values is not None:
                on.setdefault(sample.values.device, []).append(sample)
        for those in on.values():
            values = [sample.values for sample in those if sample.values is not None]
            together = torch.cat([part.double() for part in values]).cpu().numpy()
            ends = np.cumsum([len(part) for part in values])
            for sample, part in zip(those, np.split(together, ends[:-1]), strict=True):
                sample.values, sample.spread = None, spread(part)
        self._waiting.clear()


def spread(x: _Array) -> Spread:
    """Of one sample."""
    if compiled := _compiled():
        largest, smallest, finite, reach, below, counts = compiled(x, OCTAVES, BINS)
        *below, there = below.tolist()
        magnitudes = tuple(n / max(there, 1) for n in below)
        histogram = Histogram(-reach, reach, tuple(counts.tolist())) if finite else None
        return Spread(largest if finite else math.inf, smallest, magnitudes, histogram)
    finite = x[np.isfinite(x)].astype(np.float64)
    sizes = np.abs(finite[finite != 0])
    return Spread(
        float(np.abs(finite).max()) if finite.size else math.inf,
        float(sizes.min()) if sizes.size else math.inf,
        closer.magnitudes(sizes),
        closer.histogram(finite),
    )


@cache
def _compiled() -> Any:
    """The same in one pass; None where numba cannot be imported."""
    try:
        from fanin.frameworks.summed import spread as compiled
    except ImportError:
        return None
    return compiled
