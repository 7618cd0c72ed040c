"""One trial of a comparison: what decides it, and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from fanin.experiments.criterion import final_loss
from fanin.experiments.flow import Flow
from fanin.experiments.settings import Training
from fanin.plans import Plan

SEMANTICS: Final = (
    "fanin/trial/1"  # a change of what a trial computes is another number, so that no old result is taken
)


class Cell(NamedTuple):
    """Where a trial stands in the grid of a recipe."""

    seed: int
    rate: float


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        losses: training loss at every step; they end early where the run diverged.
        diverged_at: the first step whose loss was not finite.
        test_loss: on the test set after the last step; None if it is not finite.
        accuracy: share of the test's classes that are said right, and finitely; None for squared errors.
        seconds: its share of the time that its stack of models took.
        facts: what it ran on.
        start, end: what flowed through the net before and after; None where that was not asked for.
    """

    recipe: str
    seed: int
    rate: float
    losses: tuple[float, ...]
    diverged_at: int | None
    test_loss: float | None
    accuracy: float | None
    seconds: float
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)
    start: Flow | None = field(default=None, compare=False)
    end: Flow | None = field(default=None, compare=False)

    @property
    def final_loss(self) -> float:
        """Mean over the last tenth of the steps; infinite for a diverged run."""
        return final_loss(self.losses, self.diverged_at)

    @classmethod
    def read(cls, recipe: str, cell: Cell, result: Mapping[str, Any]) -> Run:
        """From what is stored."""
        plain = {name: value for name, value in result.items() if name != "signals"}
        run = cls(recipe, *cell, **{**plain, "losses": tuple(result["losses"])})
        start, end = (result.get("signals", {}).get(when) for when in ("start", "end"))
        return replace(run, start=Flow.read(start) if start else None, end=Flow.read(end) if end else None)


def decides(subject: Mapping[str, str], plan: Plan, how: Training, cell: Cell, torch: str) -> dict[str, Any]:
    """All that a trial is a function of, as plain data; what its recipe is called is not among it.

    Two recipes that decide alike share their trials, and one that changes has new ones.
    """
    return {
        "semantics": SEMANTICS,
        **subject,
        "plan": plan.digest(cell.seed),
        "training": replace(how, learning_rate=cell.rate).to_dict(),
        "seed": cell.seed,
        "torch": torch,
    }
