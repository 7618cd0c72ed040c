"""The losses of a run in few numbers: where it began, how low it came, where it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

WINDOW: Final = 9  # losses whose median stands for now: four batches in a row out of the ordinary do not move it
MEMORY: Final = 50  # windows that the scatter is an average of; that of nine losses alone may be a third of it


@dataclass(frozen=True)
class Trend:
    """Of a series of losses or norms.

    Attributes:
        recent: the last `WINDOW` finite ones.
        first: the median of the first `WINDOW`; None before.
        best: the lowest median of `WINDOW` in a row.
        scatter: the median distance from the median in a window, averaged over the last ones.
        windows: of how many, up to `MEMORY`.
    """

    recent: tuple[float, ...] = ()
    first: float | None = None
    best: float = math.inf
    scatter: float = 0.0
    windows: int = 0

    def seen(self, value: float) -> Trend:
        """With one more; one that is not finite is another matter and left out."""
        if not math.isfinite(value):
            return self
        recent = (*self.recent, value)[-WINDOW:]
        if len(recent) < WINDOW:
            return replace(self, recent=recent)
        now, windows = median(recent), min(self.windows + 1, MEMORY)
        around = median(abs(x - now) for x in recent)
        scatter = self.scatter + (around - self.scatter) / windows
        return Trend(recent, now if self.first is None else self.first, min(self.best, now), scatter, windows)

    @property
    def now(self) -> float | None:
        """The median of the last ones; None before there are enough."""
        return median(self.recent) if len(self.recent) == WINDOW else None
