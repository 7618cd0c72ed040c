"""Curves of trials for TensorBoard, each written when it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fanin.experiments.design import Design
from fanin.experiments.stack import At
from fanin.frameworks.tensorboard import check_board, write_curves

FOLDER: Final = "tensorboard"  # within that of the results


@dataclass(frozen=True)
class Curves:
    """A run of TensorBoard's for each trial: net on data, recipe, rate and seed are the folders that it groups by.

    Raises:
        MissingExtra: TensorBoard is not installed.
    """

    folder: Path
    designs: Sequence[Design]

    def __post_init__(self) -> None:
        check_board()

    def __call__(self, at: At, result: Mapping[str, Any]) -> None:
        """The loss of every step, and what the test said at the end."""
        what = self.designs[at.design]
        names = (f"{what.subject.name} on {what.subject.data_name}", at.recipe, f"rate {at.cell.rate:g}")
        run = self.folder.joinpath(*(name.replace("/", "-") for name in names), f"seed {at.cell.seed}")
        test = {name: [result[name]] for name in ("test_loss", "accuracy") if result.get(name) is not None}
        write_curves(run, {"loss": result["losses"], **test})


Shown = Callable[[At, Mapping[str, Any]], None]


def nowhere(at: At, result: Mapping[str, Any]) -> None:
    """Nobody looks on."""
