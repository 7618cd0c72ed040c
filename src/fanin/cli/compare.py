"""`fanin compare spec.toml`: recipes compared by training, as a file says; or a lesson, `--builtin NAME`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from fanin.cli.comparing import Spec


def compare(
    spec: str | None = typer.Argument(None, help="A TOML file: net, data, recipes; seeds, learning_rates, vary, …"),
    builtin: str | None = typer.Option(None, help="A lesson in place of a file; `fanin list lessons` has their names."),
    workers: int | None = typer.Option(None, min=1, help="Processes; as many as there are cores by default."),
    quick: bool = typer.Option(False, "--quick", help="A fifth of the steps, two seeds, the middle rate: does it run?"),
    to: str | None = typer.Option(None, help="The folder of results; else what the file says, or runs/NAME-OF-FILE."),
    engine: str | None = typer.Option(None, help="local (the default): processes; or ray: tasks of a Ray cluster."),
    address: str | None = typer.Option(None, help="Of the Ray cluster, such as auto or ray://HOST:10001."),
    tensorboard: bool = typer.Option(
        False,
        "--tensorboard",
        help="Write curves into the folder tensorboard of the results, while nets train.",
    ),
    html: str | None = typer.Option(None, help="Also write curves and tables to this file."),
    csv: str | None = typer.Option(None, help="Also write one line for each run to this file."),
    toml: bool = typer.Option(False, "--toml", help="Only print the lesson as a file, to change and run."),
    as_json: bool = typer.Option(False, "--json", help="Print everything as JSON instead of the table."),
) -> None:
    """Train a net from several recipes, each at its own best learning rate, and say which starts better.

    Every trial is kept on disk: stop it, kill it, add recipes or seeds, and the same command goes on from there.
    """
    import time
    from pathlib import Path

    from fanin.cli.comparing import of_lesson, read_spec
    from fanin.cli.facts import facts
    from fanin.cli.terminal import console
    from fanin.errors import BadInput
    from fanin.reports import check_target, write_html

    if (spec is None) == (builtin is None):
        raise BadInput("Expected a TOML file, or --builtin and the name of a lesson. `fanin list lessons` has them.")
    for file in (html, csv):
        if file is not None:
            check_target(file)
    asked: Spec = of_lesson(builtin) if builtin is not None else read_spec(Path(spec or ""))
    if toml:
        typer.echo(asked.text, nl=False)
        return
    asked = asked.quick() if quick else asked
    started = time.perf_counter()
    try:
        given = {"to": to or asked.to, "workers": workers, "engine": engine, "address": address}
        found = _train(asked, {**given, "tensorboard": tensorboard or None})
    except KeyboardInterrupt as stop:
        typer.echo(f"fanin: {str(stop) or 'Interrupted.'}", err=True)
        raise typer.Exit(130) from None
    if as_json:
        from fanin.reports import strict_json

        typer.echo(strict_json(found.to_dict()), nl=False)
    else:
        console().print(found)
    if csv is not None:
        typer.echo(f"Runs: {found.to_csv(csv)}", err=True)
    if html is not None:
        page = _page(found, facts(started, "torch", "numpy"))
        typer.echo(f"Report: {write_html(page, html)}", err=True)


def _train(asked: Spec, given: Mapping[str, Any]) -> Any:
    """A study; a sweep if something varies; a lesson that was given."""
    from fanin import api
    from fanin.cli.comparing import load_net

    chosen = {name: value for name, value in given.items() if value is not None}
    settings: dict[str, Any] = {**asked.settings, **chosen, "recipes": asked.recipes}
    with asked.pointing():
        if not asked.vary:
            return api.compare(load_net(asked), asked.data, **settings)
        found = api.sweep(load_net(asked), asked.data, vary=asked.vary, **settings)
    return found if asked.lesson is None else asked.lesson.look(found)


def _page(found: Any, facts: Any) -> Any:
    from fanin.cli.facts import PROGRAM
    from fanin.experiments import Study
    from fanin.experiments.sweep import Sweep
    from fanin.reports.lesson_page import lesson_page
    from fanin.reports.study_page import study_page
    from fanin.reports.sweep_page import sweep_page

    if isinstance(found, Study):
        return study_page(found, facts, PROGRAM)
    return (sweep_page if isinstance(found, Sweep) else lesson_page)(found, facts, PROGRAM)
