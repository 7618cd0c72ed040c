"""Recipes compared by real training."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fanin.errors import MissingExtra

if TYPE_CHECKING:
    from fanin.experiments import Study


def compare(
    net: Any,
    data: Any,
    *,
    recipes: Sequence[Any] | Mapping[str, Any],
    seeds: int | Sequence[int] = 5,
    learning_rates: Sequence[float] = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    steps: int = 400,
    batch_size: int = 64,
    optimizer: str = "sgd",
    momentum: float = 0.9,
    to: str | os.PathLike[str] | None = None,
    engine: str = "local",
    address: str | None = None,
    workers: int | None = None,
    progress: bool = True,
    bar: float = 0.5,
) -> Study:
    """Train a net from every recipe, and say which starts better, if that can be told; PyTorch only.

    All recipes of a seed see the same batches and draw from the same words of the stream, so that they differ in the
    recipe alone; each is judged at its own best rate. Trials are stored one by one: a call that was stopped, by
    whatever, goes on where it was, and one with more recipes or seeds trains those only (docs/compare.md).

    Args:
        net: a name with arguments, such as "perceptron(depth=30)" (`fanin list nets`), or a function of a module, from
            `fanin.experiments.data.Data` to a `torch.nn.Module`.
        data: a name, such as "digits" (`fanin list data`); or (inputs, targets), of which a fifth is kept for the test;
            or (inputs, targets, test_inputs, test_targets). Whole numbers as targets are classes.
        recipes: whatever `fanin.plan` takes, or plans; a list, or by names of your own. One that cannot serve the net
            is left out, and the study says why.
        seeds: how many, or which.
        learning_rates: a grid wide enough that no recipe is best at its end.
        optimizer: "sgd", with momentum, or "adam", whose β₁ is the momentum.
        to: the folder of results; None keeps none. Several calls may use one, at once, too.
        engine: "local", processes of this machine; or "ray", tasks of a Ray cluster.
        address: of the cluster, such as "auto" or "ray://HOST:10001"; None is the one that this process is connected
            to, or else one that is started on this machine.
        workers: trials, or stacks of them, at once; as many as there are cores by default. 1 trains in this process.
        progress: a bar on standard error.
        bar: the loss that steps and seconds are counted to, as a share of chance.

    Raises:
        UnknownName: no net, data, recipe or optimizer of that name; the message names the nearest.
        BadInput: settings that make no sense, a function that raises or cannot be found by other processes, a folder
            that cannot be written to, a cluster that does not answer.
        MissingExtra: Ray is not installed.
        KeyboardInterrupt: Ctrl-C; what is done is kept, and the message says how much that is.

    Example:
        >>> import fanin
        >>> study = fanin.compare("perceptron(depth=20, width=16)", "digits", recipes=["auto", "normal(std=0.01)"],
        ...     seeds=4, learning_rates=[0.01, 0.03], steps=60, workers=1, progress=False)
        >>> study.winner, [row.recipe for row in study.standings]
        ('auto', ['auto', 'normal(std=0.01)'])
    """
    try:
        from fanin.experiments.compare import compare as compared
    except ImportError as error:
        raise MissingExtra(error.name or "PyTorch", "demo", "Comparing recipes by training") from error
    study = compared(
        net,
        data,
        recipes=recipes,
        seeds=seeds,
        learning_rates=learning_rates,
        steps=steps,
        batch_size=batch_size,
        optimizer=optimizer,
        momentum=momentum,
        to=None if to is None else Path(to),
        engine=engine,
        address=address,
        workers=workers,
        progress=progress,
        bar=bar,
    )
    return replace(study, page=_page)


def _page(study: Study) -> str:
    """The report as one HTML file; `Study.to_html` writes it."""
    from importlib.metadata import version

    from fanin.reports import to_html
    from fanin.reports.study_page import study_page

    return to_html(study_page(study, {}, f"fanin {version('fanin')}"))
