"""The terminal: how wide it is, and progress on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console(*, quiet: bool = False) -> Console:
    """Standard output; in a pipe or a file as wide as COLUMNS says, or 110, where rich would take 80."""
    from rich.console import Console

    here = Console(quiet=quiet)
    return here if here.is_terminal or "COLUMNS" in os.environ else Console(quiet=quiet, width=110)


@contextmanager
def status(what: str) -> Iterator[Callable[[str], None]]:
    """What is being done, on standard error while that is a terminal; yields the function to change it."""
    from rich.console import Console

    with Console(stderr=True).status(what) as line:
        yield line.update


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar with count, elapsed time and time left, on standard error; yields the function that advances it by one."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
