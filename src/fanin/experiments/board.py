"""Curves of trials for TensorBoard, while they train."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fanin.experiments.design import Design
from fanin.experiments.stack import At, Said
from fanin.frameworks.tensorboard import Run, check_board

FOLDER: Final = "tensorboard"  # within that of the results


class Curves:
    """A run of TensorBoard's for each trial: net on data, recipe, rate and seed are the folders that it groups by.

    Raises:
        MissingExtra: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, designs: Sequence[Design]) -> None:
        check_board()
        self._folder, self._designs = folder, designs
        self._open: dict[At, Run] = {}

    def said(self, word: Said) -> None:
        """A loss, while its trial trains."""
        if math.isfinite(word.loss):
            self._run(word.at).add("loss", word.step, word.loss)

    def ended(self, at: At, result: Mapping[str, Any]) -> None:
        """The losses that were not said, as of another run's trial, and what the test said at the end."""
        run = self._run(at)
        for step, loss in enumerate(result["losses"], 1):
            run.add("loss", step, loss)
        for name in ("test_loss", "accuracy"):
            if result.get(name) is not None:
                run.add(name, 1, result[name])
        self._open.pop(at).close()

    def close(self) -> None:
        """What has begun stays as far as it came."""
        for run in self._open.values():
            run.close()
        self._open.clear()

    def _run(self, at: At) -> Run:
        if at not in self._open:
            what = self._designs[at.design]
            names = (f"{what.subject.name} on {what.subject.data_name}", at.recipe, f"rate {at.cell.rate:g}")
            folder = self._folder.joinpath(*(name.replace("/", "-") for name in names), f"seed {at.cell.seed}")
            self._open[at] = Run(folder)
        return self._open[at]
