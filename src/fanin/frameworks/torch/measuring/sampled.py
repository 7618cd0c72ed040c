"""How the values of a tensor are spread, seen on an evenly strided sample of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from fanin.frameworks import closer
from fanin.frameworks.torch.measuring.together import COMPILED, Together, by_dtype, compiles, here
from fanin.signals import Histogram
from fanin.signals.detail import SAMPLE

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
    """How some values of a tensor are spread, once they were looked at."""

    spread: Spread | None = None


class Samples:
    """Takes samples; they wait for one another, and those on a device come to the host together."""

    def __init__(self) -> None:
        self._here: Together[Sample] = Together(_look)
        self._elsewhere: list[tuple[torch.Tensor, Sample]] = []

    def of(self, x: torch.Tensor) -> Sample:
        """Of a tensor with at least one element."""
        sample = Sample()
        flat = x.detach().reshape(-1)
        some = flat[:: max(1, len(flat) // SAMPLE)][:SAMPLE].clone()  # a view would keep all of the tensor
        if here(x):
            return self._here.add(some if x.dtype in COMPILED else some.double(), sample)
        self._elsewhere.append((some, sample))
        if len(self._elsewhere) >= _MOST_WAITING:
            self._fetch()
        return sample

    def settle(self) -> None:
        """Look at all that wait."""
        self._fetch()
        self._here.settle()

    def _fetch(self) -> None:
        """From each device what waits there, in one piece."""
        on: dict[torch.device, list[tuple[torch.Tensor, Sample]]] = {}
        for some, sample in self._elsewhere:
            on.setdefault(some.device, []).append((some, sample))
        for those in on.values():
            together = torch.cat([some.double() for some, _ in those]).cpu()
            parts = torch.split(together, [len(some) for some, _ in those])
            for part, (_, sample) in zip(parts, those, strict=True):
                self._here.add(part, sample)
        self._elsewhere.clear()


def _look(tensors: Sequence[torch.Tensor], samples: Sequence[Sample]) -> None:
    if not compiles():
        for x, sample in zip(tensors, samples, strict=True):
            sample.spread = spread(x.numpy().reshape(-1))
        return
    from fanin.frameworks.compiled.looked import Wanted, look_at_each

    for arrays, some in by_dtype(tensors, samples):
        seen = look_at_each(arrays, [Wanted(closely=True)] * len(some))
        for sample, one in zip(some, seen.spreads, strict=True):
            sample.spread = as_shown(*one)


def as_shown(
    largest: float, smallest: float, finite: float, reach: float, below: Sequence[float], counts: Sequence[int]
) -> Spread:
    """From what compiled loops count, see `compiled.spread`."""
    histogram = Histogram(-reach, reach, tuple(counts)) if finite else None
    return Spread(largest if finite else math.inf, smallest, tuple(below), histogram)


def spread(x: _Array) -> Spread:
    """Of one sample, by what NumPy has."""
    finite: Any = x[np.isfinite(x)].astype(np.float64)
    sizes = np.abs(finite[finite != 0])
    return Spread(
        float(np.abs(finite).max()) if finite.size else math.inf,
        float(sizes.min()) if sizes.size else math.inf,
        closer.magnitudes(sizes),
        closer.histogram(finite),
    )
