"""Recipes compared by real training."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fanin.errors import MissingExtra

if TYPE_CHECKING:
    from fanin.experiments import Study
    from fanin.experiments.sweep import Sweep


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
    weight_decay: float = 0.0,
    to: str | os.PathLike[str] | None = None,
    engine: str = "local",
    address: str | None = None,
    workers: int | None = None,
    progress: bool = True,
    tensorboard: bool = False,
    bar: float = 0.5,
    signals: bool = False,
) -> Study:
    """Train a net from every recipe, and say which starts better, if that can be told; PyTorch only.

    All recipes of a seed see the same batches and draw from the same words of the stream, so that they differ in the
    recipe alone; each is judged at its own best rate. Trials are stored one by one: a call that was stopped, by
    whatever, goes on where it was, and one with more recipes or seeds trains those only (docs/compare.md).

    Args:
        net: a name with arguments, such as "perceptron(depth=30)" (`fanin list nets`), or a function of a module that
            builds a `torch.nn.Module`; one that asks for an argument is given the `fanin.experiments.data.Data`.
        data: a name, such as "digits" (`fanin list data`); or (inputs, targets), of which a fifth is kept for the test;
            or (inputs, targets, test_inputs, test_targets). Whole numbers as targets are classes.
        recipes: whatever `fanin.plan` takes, or plans; a list, or by names of your own. One that cannot serve the net
            is left out, and the study says why.
        seeds: how many, or which.
        learning_rates: a grid wide enough that no recipe is best at its end.
        optimizer: "sgd", with momentum, or "adam", whose β₁ is the momentum.
        weight_decay: λ; with SGD that of a penalty λ‖w‖²/2, with Adam decoupled from the gradient (AdamW).
        to: the folder of results; None keeps none. Several calls may use one, at once, too.
        engine: "local", processes of this machine; or "ray", tasks of a Ray cluster.
        address: of the cluster, such as "auto" or "ray://HOST:10001"; None is the one that this process is connected
            to, or else one that is started on this machine.
        workers: trials, or stacks of them, at once; as many as there are cores by default. 1 trains in this process.
        progress: a bar on standard error.
        tensorboard: write each trial's curve into the folder `tensorboard` of `to` while it trains; the extra "watch".
        bar: the loss that steps and seconds are counted to, as a share of chance.
        signals: also measure what flows through the net before and after each training (`Run.start`, `Run.end`).

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
    compared, engagement = _experiments()
    study: Study = compared.compare(
        net,
        data,
        recipes=recipes,
        to=to,
        by=engagement(engine, workers, progress, address, tensorboard),
        seeds=seeds,
        learning_rates=learning_rates,
        steps=steps,
        batch_size=batch_size,
        optimizer=optimizer,
        momentum=momentum,
        weight_decay=weight_decay,
        bar=bar,
        signals=signals,
    )
    return replace(study, page=_page)


def sweep(
    net: Any,
    data: Any,
    *,
    vary: Mapping[str, Sequence[Any]],
    recipes: Sequence[Any] | Mapping[str, Any],
    to: str | os.PathLike[str] | None = None,
    engine: str = "local",
    address: str | None = None,
    workers: int | None = None,
    progress: bool = True,
    tensorboard: bool = False,
    **settings: Any,
) -> Sweep:
    """Compare recipes over a grid of depths, nets, decays, or whatever else varies; a study for each combination.

    Everything is trained as one: the trials of cells that share a net are stacked, and all are stored as `compare`
    stores them.

    Args:
        vary: names with their values. One that stands in braces in the net, the data or a recipe is filled in there, as
            in "normal(std={std})"; that of a setting, such as `weight_decay`, sets it; `net` and `data` replace those;
            any other is an argument of the net.
        settings: of `compare`: seeds, learning_rates, steps, batch_size, optimizer, momentum, weight_decay, bar,
            signals.

    Raises:
        As `compare`; BadInput also where something has no values, or braces name what does not vary.

    Example:
        >>> import fanin
        >>> found = fanin.sweep("perceptron(width=16, activation='tanh')", "digits", vary={"depth": [2, 20]},
        ...     recipes=["auto", "normal(std=0.01)"], seeds=4, learning_rates=[0.03], steps=60, workers=1,
        ...     progress=False)
        >>> found.at(depth=20).winner, found.loss("normal(std=0.01)", depth=20) > 2.2
        ('auto', True)
    """
    _, engagement = _experiments()
    from fanin.experiments.sweep import sweep as swept

    by = engagement(engine, workers, progress, address, tensorboard)
    return replace(swept(net, data, vary=vary, recipes=recipes, to=to, by=by, **settings), page=_sweep_page)


def _experiments() -> tuple[Any, Callable[..., Any]]:
    """The module, and who trains; it needs PyTorch."""
    try:
        from fanin.experiments import compare, conduct
    except ImportError as error:
        raise MissingExtra(error.name or "PyTorch", "demo", "Comparing recipes by training") from error

    return compare, conduct.Engagement


def _page(study: Study) -> str:
    """The report as one HTML file; `Study.to_html` writes it."""
    from importlib.metadata import version

    from fanin.reports import to_html
    from fanin.reports.study_page import study_page

    return to_html(study_page(study, {}, f"fanin {version('fanin')}"))


def _sweep_page(found: Sweep) -> str:
    """The same of a sweep."""
    from importlib.metadata import version

    from fanin.reports import to_html
    from fanin.reports.sweep_page import sweep_page

    return to_html(sweep_page(found, {}, f"fanin {version('fanin')}"))
