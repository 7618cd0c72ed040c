"""One trial of a comparison: what decides it, and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, NamedTuple

from fanin.experiments.criterion import final_loss
from fanin.experiments.study import Training
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

    @property
    def final_loss(self) -> float:
        """Mean over the last tenth of the steps; infinite for a diverged run."""
        return final_loss(self.losses, self.diverged_at)

    @classmethod
    def read(cls, recipe: str, cell: Cell, result: Mapping[str, Any]) -> Run:
        """From what is stored."""
        return cls(recipe, *cell, **{**result, "losses": tuple(result["losses"])})


def decides(subject: Mapping[str, str], plan: Plan, how: Training, cell: Cell, torch: str) -> dict[str, Any]:
    """All that a trial is a function of, as plain data; what its recipe is called is not among it.

    Two recipes that decide alike share their trials, and one that changes has new ones.
    """
    return {
        "semantics": SEMANTICS,
        **subject,
        "plan": plan.digest(cell.seed),
        "training": asdict(replace(how, learning_rate=cell.rate)),
        "seed": cell.seed,
        "torch": torch,
    }
