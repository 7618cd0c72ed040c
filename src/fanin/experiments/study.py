"""A finished comparison: every recipe at its own best rate, and what can be said of the differences."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from fanin.errors import BadInput
from fanin.experiments.criterion import steps_to, trains
from fanin.experiments.flow import Flow
from fanin.experiments.settings import Training
from fanin.experiments.statistics import Interval, Paired, bootstrap, paired
from fanin.experiments.trial import Cell, Run
from fanin.files import check_target, write_text
from fanin.grid import Grid, plain
from fanin.strict_json import strict_json

LEVEL: Final = 0.95  # that no difference from the best is taken for one by chance, over all of them together
BAR: Final = 0.5  # of chance: a net that is below has learned something


@dataclass(frozen=True)
class Standing:
    """One recipe at its own best learning rate.

    Attributes:
        rate: the one whose mean loss at the end is lowest; of those as good, the smallest.
        at_edge: it is the smallest or the largest of the grid, so that a better one may lie outside.
        final: loss at the end, the mean over seeds.
        test_loss, accuracy: on the test set, means over seeds; None where there is none.
        diverged: how many of its seeds diverged at that rate; `of_grid`, of all its runs.
        steps, seconds: until the loss is at the bar, means over seeds; infinite if one does not reach it.
        behind: its loss minus the best recipe's, seed by seed; None for the best.
    """

    recipe: str
    rate: float
    at_edge: bool
    final: Interval
    test_loss: float | None
    accuracy: float | None
    seeds: int
    diverged: int
    of_grid: tuple[int, int]
    steps: float
    seconds: float
    behind: Paired | None = None

    @property
    def is_level(self) -> bool:
        """As good as the best, as far as these seeds can tell."""
        return self.behind is None or self.behind.difference.low <= 0


@dataclass(frozen=True)
class Study:
    """Recipes on one net and its data: the same batches and stream words for every recipe of a seed.

    `print` shows the table, `standings` has its rows, `to_html` writes curves and tables.

    Attributes:
        chance: the loss of the best constant answer.
        bar: the loss that steps and seconds are counted to.
        left_out: recipes that cannot serve this net, and why.
        failed: trials that ended in an error, (recipe, seed and rate, error); they are run again next time.
        trained: how many trials this call ran; the others were in the store.
        notes: what else is to be known of the results.
    """

    net: str
    data: str
    chance: float
    how: Training
    seeds: tuple[int, ...]
    rates: tuple[float, ...]
    recipes: tuple[str, ...]
    runs: tuple[Run, ...]
    bar: float
    left_out: Mapping[str, str] = field(default_factory=dict)
    failed: tuple[tuple[str, Cell, str], ...] = ()
    trained: int = field(default=0, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)
    page: Callable[[Study], str] | None = field(default=None, compare=False, repr=False)

    def of(self, recipe: str, rate: float | None = None) -> tuple[Run, ...]:
        """The runs of a recipe, at one rate or at all."""
        return tuple(r for r in self.runs if r.recipe == recipe and rate in (None, r.rate))

    def best_rate(self, recipe: str) -> float | None:
        """That with the lowest mean loss at the end among those that all seeds ran at; None if there is none."""
        whole = [rate for rate in self.rates if len(self.of(recipe, rate)) == len(self.seeds)]
        return min(whole, key=lambda rate: (self._mean(recipe, rate), self._diverged(recipe, rate), rate), default=None)

    @property
    def standings(self) -> tuple[Standing, ...]:
        """All recipes that have one, best first."""
        rows = [self._standing(recipe, rate) for recipe in self.recipes if (rate := self.best_rate(recipe)) is not None]
        rows.sort(key=lambda row: (row.final.mean, row.diverged))
        if not rows:
            return ()
        best, *others = rows
        # Each of k differences at 1 − 5 %/k: that one of them is wrong has a chance of 5 % at most (Bonferroni).
        level = 1 - (1 - LEVEL) / max(1, len(others))
        ends = self.finals(best.recipe, best.rate)
        compared = [paired(self.finals(row.recipe, row.rate), ends, level) for row in others]
        return (best, *(_beside(row, found) for row, found in zip(others, compared, strict=True)))

    @property
    def winner(self) -> str | None:
        """The recipe that ends lower than every other, beyond what seeds differ in; None if it cannot be told."""
        best, *others = self.standings or (None,)
        if best is None or not others or not math.isfinite(best.final.mean) or any(row.is_level for row in others):
            return None
        return best.recipe

    @property
    def verdict(self) -> str:
        """In a sentence or two."""
        rows = self.standings
        if not rows:
            return "No recipe has a whole set of runs."
        best, *others = rows
        level = [row.recipe for row in others if row.is_level]
        few = f"{len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''}"
        if not math.isfinite(best.final.mean):
            said = "Every recipe diverges at every rate, with some seed."
        elif not others:
            said = f"{best.recipe} ends at {best.final.mean:.3g}; there is nothing to compare it with."
        elif not level:
            said = f"{best.recipe} ends lower than every other recipe, beyond what the {few} differ in."
        else:
            said = f"No winner: by {few}, {best.recipe} cannot be told from {_listed(level)}."
        if math.isfinite(best.final.mean) and not trains(best.final.mean, self.chance):
            said += f" None learns much: chance is {self.chance:.3g}."
        return said

    def finals(self, recipe: str, rate: float) -> list[float]:
        """Losses at the end, in the order of the seeds."""
        return [r.final_loss for r in sorted(self.of(recipe, rate), key=lambda r: self.seeds.index(r.seed))]

    def loss(self, recipe: str) -> float | None:
        """Mean loss at the end at the recipe's best rate; infinite if some seed diverges there, None without runs."""
        rate = self.best_rate(recipe)
        return None if rate is None else self._mean(recipe, rate)

    def accuracy(self, recipe: str) -> float | None:
        """Share of the test that is said right, at the same rate; None where there is none."""
        rate = self.best_rate(recipe)
        return None if rate is None else _mean_of([run.accuracy for run in self.of(recipe, rate)])

    def flows(self, recipe: str, when: str) -> tuple[Flow, ...]:
        """What flowed through the layers at the "start" or the "end", of every seed at the recipe's best rate."""
        rate = self.best_rate(recipe)
        found = (getattr(run, when) for run in self.of(recipe, rate)) if rate is not None else ()
        return tuple(flow for flow in found if flow is not None)

    def curve(self, recipe: str, window: int = 1) -> list[tuple[int, float, float, float]]:
        """(step, mean, lowest, highest) over seeds of the loss at the best rate, averaged over windows of steps.

        It ends where the first seed diverged.
        """
        rate = self.best_rate(recipe)
        losses = [r.losses for r in self.of(recipe, rate)] if rate is not None else []
        length = min((len(run) for run in losses), default=0)
        points = []
        for first in range(0, length - window + 1, window):
            means = [statistics.fmean(run[first : first + window]) for run in losses]
            points.append((first + window, statistics.fmean(means), min(means), max(means)))
        return points

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: the verdict, the table, and every run."""
        names = ("net", "data", "chance", "bar", "seeds", "rates", "recipes", "left_out", "trained", "notes")
        return {
            "version": 1,
            "winner": self.winner,
            "verdict": self.verdict,
            **{name: getattr(self, name) for name in names},
            "training": {k: v for k, v in asdict(self.how).items() if k != "learning_rate"},
            "standings": [asdict(row) for row in self.standings],
            "failed": [{"recipe": recipe, **cell._asdict(), "error": error} for recipe, cell, error in self.failed],
            "runs": [asdict(run) for run in self.runs],
        }

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Strict JSON, in which numbers that are not finite are strings; also to a file if one is named.

        Raises:
            BadInput: the file cannot be written.
        """
        text = strict_json(self.to_dict())
        if path is not None:
            write_text(path, text, "study.json")
        return text

    def to_csv(self, path: str | os.PathLike[str], *, curves: bool = False) -> Path:
        """One line for each run; with `curves`, for each of its steps. Returns where.

        Raises:
            BadInput: the file cannot be written.
        """
        from fanin.experiments.rows import write_csv

        return write_csv(path, [({}, self)], curves=curves)

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Writes the report, one page that opens offline; returns where.

        Raises:
            BadInput: the file cannot be written; or the study is not from `fanin.compare`, which gives `page`.
        """
        check_target(path)
        if self.page is None:
            raise BadInput("This study does not know how to make its page. Take it from fanin.compare.")
        return write_text(path, self.page(self))

    def __rich__(self) -> RenderableType:
        how = self.how
        head = (
            f"{self.net} on {self.data}: {len(self.seeds)} seed(s), rates {', '.join(f'{r:g}' for r in self.rates)}; "
            f"{how.steps} steps of {how.batch_size}, {how.optimizer}. Chance is {self.chance:.3g}."
        )
        rows = [cells(row) for row in self.standings]
        table = [Grid(HEAD, rows, ["left", *["right"] * (len(HEAD) - 1)])] if rows else []  # type: ignore[list-item]
        return Group(
            Text(head), *table, Text(self.verdict), *map(Text, self.all_that_went_wrong), *map(Text, self.all_notes)
        )

    def __str__(self) -> str:
        return plain(self)

    @property
    def all_that_went_wrong(self) -> tuple[str, ...]:
        """A line for each recipe that is left out and each trial that failed."""
        left = [f"{recipe} is left out: {why}" for recipe, why in self.left_out.items()]
        return (*left, *(f"{r}, seed {c.seed}, rate {c.rate:g} failed: {e}" for r, c, e in self.failed))

    @property
    def all_notes(self) -> tuple[str, ...]:
        """With what the numbers themselves ask to be said."""
        edge = [row.recipe for row in self.standings if row.at_edge]
        found = list(self.notes)
        if edge and len(self.rates) > 1:
            found.append(f"The best rate is at the end of the grid for {_listed(edge)}: a better one may lie outside.")
        if len(self.seeds) < 6 and len(self.standings) > 1:
            found.append(f"With {len(self.seeds)} seed(s), Wilcoxon's p is never below {2 / 2 ** len(self.seeds):.2g}.")
        return tuple(found)

    def _standing(self, recipe: str, rate: float) -> Standing:
        runs = self.of(recipe, rate)
        to_bar = [steps_to(self.bar, r.losses) for r in runs]
        each = [r.seconds / self.how.steps for r in runs]
        every = self.of(recipe)
        return Standing(
            recipe,
            rate,
            len(self.rates) > 1 and rate in (min(self.rates), max(self.rates)),
            bootstrap(self.finals(recipe, rate)),
            _mean_of([r.test_loss for r in runs]),
            _mean_of([r.accuracy for r in runs]),
            len(runs),
            self._diverged(recipe, rate),
            (sum(r.diverged_at is not None for r in every), len(every)),
            statistics.fmean(to_bar),
            statistics.fmean(n * s for n, s in zip(to_bar, each, strict=True)),
        )

    def _mean(self, recipe: str, rate: float) -> float:
        return statistics.fmean(self.finals(recipe, rate))

    def _diverged(self, recipe: str, rate: float) -> int:
        return sum(r.diverged_at is not None for r in self.of(recipe, rate))


HEAD: Final = ("recipe", "best rate", "loss at the end", "behind the best", "p", "test", "diverged", "steps to bar")


def cells(row: Standing) -> tuple[str, ...]:
    """Of a table; the test is an accuracy where there is one."""
    behind = row.behind
    score = f"{row.accuracy:.1%}" if row.accuracy is not None else short(row.test_loss)
    return (
        row.recipe,
        f"{row.rate:g}",
        "diverged" if math.isinf(row.final.mean) else interval(row.final),
        "" if behind is None else interval(behind.difference),
        "" if behind is None else f"{behind.p:.2g}",
        score,
        f"{row.diverged} of {row.seeds}" if row.diverged else "",
        f"{row.steps:.0f}" if math.isfinite(row.steps) else "–",
    )


def interval(x: Interval) -> str:
    """As "0.12 [0.08, 0.17]"."""
    return f"{short(x.mean)} [{short(x.low)}, {short(x.high)}]"


def short(x: float | None, infinite: str = "∞") -> str:
    """Three digits; "–" for nothing."""
    if x is None:
        return "–"
    return f"{x:.3g}".replace("inf", infinite).replace("nan", "–")


def _mean_of(values: list[float | None]) -> float | None:
    known = [x for x in values if x is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def _beside(row: Standing, found: Paired) -> Standing:
    return replace(row, behind=found)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
