"""`fanin compare spec.toml`: recipes compared by training, as a file says."""

from __future__ import annotations

import typer


def compare(
    spec: str = typer.Argument(help="A TOML file: net, data, recipes; seeds, learning_rates, steps, …"),
    workers: int | None = typer.Option(None, min=1, help="Processes; as many as there are cores by default."),
    engine: str | None = typer.Option(None, help="local (the default): processes; or ray: tasks of a Ray cluster."),
    address: str | None = typer.Option(None, help="Of the Ray cluster, such as auto or ray://HOST:10001."),
    quick: bool = typer.Option(False, "--quick", help="A fifth of the steps, two seeds, the middle rate: does it run?"),
    to: str | None = typer.Option(None, help="The folder of results; else what the file says, or runs/NAME-OF-FILE."),
    html: str | None = typer.Option(None, help="Also write curves and tables to this file."),
    as_json: bool = typer.Option(False, "--json", help="Print everything as JSON instead of the table."),
) -> None:
    """Train a net from several recipes, each at its own best learning rate, and say which starts better.

    Every trial is kept on disk: stop it, kill it, add recipes or seeds, and the same command goes on from there.
    """
    import time
    from pathlib import Path

    from fanin import api
    from fanin.cli.comparing import Spec, load_net, read_spec
    from fanin.cli.facts import PROGRAM, facts
    from fanin.cli.terminal import console
    from fanin.reports import check_target, write_html

    if html is not None:
        check_target(html)
    asked: Spec = read_spec(Path(spec))
    asked = asked.quick() if quick else asked
    given = {"to": to or asked.to, "engine": engine, "address": address}
    settings = {**asked.settings, **{name: value for name, value in given.items() if value is not None}}
    started = time.perf_counter()
    try:
        with asked.pointing():
            study = api.compare(load_net(asked), asked.data, recipes=asked.recipes, workers=workers, **settings)
    except KeyboardInterrupt as stop:
        typer.echo(f"fanin: {str(stop) or 'Interrupted.'}", err=True)
        raise typer.Exit(130) from None
    if as_json:
        typer.echo(study.to_json(), nl=False)
    else:
        console().print(study)
    if html is not None:
        from fanin.reports.study_page import study_page

        page = study_page(study, facts(started, "torch", "numpy"), PROGRAM)
        typer.echo(f"Report: {write_html(page, html)}", err=True)
