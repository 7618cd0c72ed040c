"""How alike the positions and the samples of a value are, and which of its units never speak."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch

from fanin.frameworks.torch.measuring.later import Later
from fanin.signals.axes import Axes, Kind, count, shape_of


@dataclass(slots=True)
class Alikeness(Later):
    """E x x' over two positions of a sample, and over two samples, as predictions define them.

    Attributes:
        numbers: the mean square of the means over positions, that of those over samples, too, and the share of units
            that are 0 throughout.
        axes: what the axes of the value count.
    """

    axes: Axes

    @property
    def dead(self) -> float:
        """The share of units that are 0 throughout, once it is read."""
        return float(self.numbers[2])

    def of_pairs(self, second: float) -> tuple[float | None, float | None]:
        """E x x' over two positions and over two samples, given E[x²]; None where there are no two."""
        _, samples, positions, _ = counted(self.axes)
        of_means, together, _ = self.numbers
        return (
            (positions * of_means - second) / (positions - 1) if positions > 1 else None,
            (samples * together - of_means) / (samples - 1) if samples > 1 else None,
        )


def alikeness(x: torch.Tensor, axes: Axes) -> Alikeness:
    """Of a value."""
    x, layout = x.detach(), _layout(axes)
    means = cube = x.reshape(layout.shape)
    if layout.over_positions:
        means = (means if x.dtype.itemsize > 2 else means.float()).mean(layout.over_positions, keepdim=True)
    means = means.double()  # samples may differ by less than a float32 can say
    together = means.mean(layout.over_samples) if layout.over_samples else means
    numbers = [torch.dot(one, one) / len(one) for one in (means.reshape(-1), together.reshape(-1))]
    speaks, over = cube != 0, (*layout.over_positions, *layout.over_samples)
    dead = 1 - (speaks.any(over) if over else speaks).double().mean()
    return Alikeness(torch.stack([*numbers, dead]), axes)


class Counted(NamedTuple):
    """What the axes of a value count, and its shape."""

    shape: tuple[int, ...]
    samples: int
    positions: int
    units: int


@lru_cache(1 << 10)
def counted(axes: Axes) -> Counted:
    """Of axes that most values of a net share with others."""
    return Counted(shape_of(axes), *(count(axes, kind) for kind in (Kind.SAMPLE, Kind.POSITION, Kind.FEATURE)))


class _Layout(NamedTuple):
    """Axes as a shape of one dimension a factor, and which of these count what."""

    shape: tuple[int, ...]
    over_positions: tuple[int, ...]
    over_samples: tuple[int, ...]


@lru_cache(1 << 10)
def _layout(axes: Axes) -> _Layout:
    factors = [factor for axis in axes for factor in axis]

    def over(kind: Kind) -> tuple[int, ...]:
        return tuple(i for i, (k, _) in enumerate(factors) if k is kind)

    return _Layout(tuple(n for _, n in factors), over(Kind.POSITION), over(Kind.SAMPLE))
