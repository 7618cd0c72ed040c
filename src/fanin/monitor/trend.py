"""The losses of a run in few numbers: where it began, how low it came, where it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

WINDOW: Final = (
    9  # losses whose median stands for now: four batches in a row that are out of the ordinary do not move it
)


@dataclass(frozen=True)
class Trend:
    """Of a series of losses or norms.

    Attributes:
        recent: the last `WINDOW` finite ones.
        first: the median of the first `WINDOW`; None before.
        best: the lowest median of `WINDOW` in a row.
        scatter: the median distance from the median in that window.
    """

    recent: tuple[float, ...] = ()
    first: float | None = None
    best: float = math.inf
    scatter: float = 0.0

    def seen(self, value: float) -> Trend:
        """With one more; one that is not finite is another matter and left out."""
        if not math.isfinite(value):
            return self
        recent = (*self.recent, value)[-WINDOW:]
        if len(recent) < WINDOW:
            return replace(self, recent=recent)
        now = median(recent)
        first = now if self.first is None else self.first
        if now < self.best:
            return Trend(recent, first, now, median(abs(x - now) for x in recent))
        return replace(self, recent=recent, first=first)

    @property
    def now(self) -> float | None:
        """The median of the last ones; None before there are enough."""
        return median(self.recent) if len(self.recent) == WINDOW else None
