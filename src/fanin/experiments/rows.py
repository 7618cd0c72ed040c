"""Runs as rows of a CSV file, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fanin.experiments.study import Study
from fanin.experiments.trial import Run
from fanin.files import write_text

OF_RUN: Final = ("seed", "rate", "final_loss", "test_loss", "accuracy", "diverged_at", "seconds")


def write_csv(
    path: str | os.PathLike[str], studies: Iterable[tuple[Mapping[str, Any], Study]], *, curves: bool = False
) -> Path:
    """One line for each run: what varies, net, data, recipe, seed, rate, and what came out; returns where.

    Args:
        studies: each with the values of what varies.
        curves: one line for each step of each run instead, with its loss.

    Raises:
        BadInput: the file cannot be written.
    """
    known = list(studies)
    names = list(dict.fromkeys(name for values, _ in known for name in values))
    last = ("seed", "rate", "step", "loss") if curves else OF_RUN
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow([*names, *(f"study_{name}" if name in names else name for name in ("net", "data")), "recipe", *last])
    for values, study in known:
        for run in study.runs:
            first = [*(values.get(name, "") for name in names), study.net, study.data, run.recipe]
            table.writerows([*first, *cells] for cells in (_steps(run) if curves else [_ends(run)]))
    return write_text(path, file.getvalue(), "runs.csv")


def _ends(run: Run) -> list[Any]:
    return ["" if (value := getattr(run, name)) is None else value for name in OF_RUN]


def _steps(run: Run) -> Iterator[list[Any]]:
    for step, loss in enumerate(run.losses, 1):
        yield [run.seed, run.rate, step, loss]
