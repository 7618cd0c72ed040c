"""Does a run train? One number for its end, and what that is held against."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def final_loss(losses: Sequence[float], diverged_at: int | None = None) -> float:
    """Mean over the last tenth of the steps; infinite for a run that left the finite numbers.

    Example:
        >>> final_loss([2.0] * 18 + [1.0, 3.0]), final_loss([2.0], diverged_at=2)
        (2.0, inf)
    """
    if diverged_at is not None or not losses:
        return math.inf
    return statistics.fmean(losses[-max(1, len(losses) // 10) :])


def trains(loss: float, chance: float, bar: float = 0.5) -> bool:
    """Has a net learned anything of its inputs: is the loss at the end at most `bar` × chance?

    Chance is the loss of the best constant answer, which a net reaches by its last bias alone.

    Args:
        loss: at the end, as `final_loss` takes it.
        chance: as `Data.chance` counts it.
        bar: below 1 by more than what batches differ in; smaller where a net that learns gets far.

    Example:
        >>> trains(0.2, chance=2.3), trains(2.29, chance=2.3), trains(math.nan, chance=2.3)
        (True, False, False)
    """
    return math.isfinite(loss) and loss <= bar * chance


def steps_to(bar: float, losses: Sequence[float], window: int = 10) -> float:
    """The step at the end of the first window whose mean loss is at most the bar; infinite if there is none.

    Example:
        >>> steps_to(1.5, [3.0, 2.0, 1.0, 1.0], window=2), steps_to(0.5, [3.0, 2.0, 1.0, 1.0], window=2)
        (3.0, inf)
    """
    for end in range(window, len(losses) + 1):
        if statistics.fmean(losses[end - window : end]) <= bar:
            return float(end)
    return math.inf
