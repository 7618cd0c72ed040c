"""What can be said of a recipe's runs, and of auto beside the others."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from fanin.experiments.criterion import steps_to, trains

from .contest import Contest
from .trials import Outcome

NOTHING = 0.01  # of chance: by how much losses may differ that are taken for equal


@dataclass(frozen=True)
class Summary:
    """One row of the table.

    Attributes:
        share: of all runs, seeds × rates, that train.
        rate: the one with the lowest mean loss at the end.
        mean, std: of the loss at the end over seeds, at that rate.
        at_best: how many of its seeds train there.
        steps: the mean over seeds, at that rate, of the step at which the bar is reached; infinite if one does not.
    """

    recipe: str
    share: float
    rate: float
    mean: float
    std: float
    at_best: int
    seeds: int
    steps: float


def summary(contest: Contest, outcome: Outcome) -> Summary:
    """The recipe at its best rate; of rates that are as good, the smallest."""
    finals = {rate: [r.final for r in outcome.runs if r.rate == rate] for rate in contest.rates}
    rate = min(finals, key=lambda r: (statistics.fmean(finals[r]), r))
    best = finals[rate]
    good = [trains(r.final, outcome.chance, contest.bar) for r in outcome.runs]
    finite = math.isfinite(sum(best))
    bar = contest.bar * outcome.chance
    return Summary(
        outcome.recipe,
        sum(good) / len(good),
        rate,
        statistics.fmean(best),
        statistics.stdev(best) if finite and len(best) > 1 else 0.0,
        sum(trains(final, outcome.chance, contest.bar) for final in best),
        len(best),
        statistics.fmean(steps_to(bar, r.losses) for r in outcome.runs if r.rate == rate),
    )


def verdict(chance: float, rows: Sequence[Summary]) -> str:
    """Is auto as good as the best of the others: within both spreads, or by less than `NOTHING` of chance?"""
    by_name = {row.recipe: row for row in rows}
    auto = by_name.pop("auto", None)
    if auto is None or not by_name:
        return "–"
    best = min(by_name.values(), key=lambda row: row.mean)
    if not math.isfinite(auto.mean):
        return f"diverges; {best.recipe} {short(best.mean)}"
    tolerance = math.hypot(auto.std, best.std) + NOTHING * chance
    if auto.mean > best.mean + tolerance:
        return f"behind {best.recipe}: {short(auto.mean)} against {short(best.mean)}"
    return f"ahead of {best.recipe}" if auto.mean < best.mean - tolerance else f"level with {best.recipe}"


def short(x: float) -> str:
    """Three digits."""
    return f"{x:#.3g}"
