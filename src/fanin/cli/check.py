"""`fanin check FILE.py:factory`: what is wrong with a model's start, and what the remedy changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from fanin.diagnosis import Diagnosis
    from fanin.plans import Plan


def check(
    model: str = typer.Argument(..., help="FILE.py:factory, a function that returns a model (or model, example)."),
    shape: str = typer.Option(None, "--input", help="Shape of the example input, such as 32,3,224,224."),
    recipe: str = typer.Option(None, help="Start the model with this recipe first, instead of as it is built."),
    predict: bool = typer.Option(
        False, "--predict", help="Predict the signals from the graph alone, and print them beside the measured ones."
    ),
    seed: int = typer.Option(0, help="Seed of PyTorch before the model is built, and of what fanin draws."),
    html: str = typer.Option(None, help="Also write the report to this file."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Measure one forward and backward pass and name what is wrong; exit 1 if anything is.

    The remedy is tried on the model in memory and measured again; your file is not changed. With --predict, nothing is
    judged: the table says what flows, a model on the meta device is not measured, and the exit code is 0.
    """
    import time

    from fanin import api
    from fanin.cli.facts import PROGRAM, facts
    from fanin.cli.model import load_model, noise_hint
    from fanin.cli.terminal import console
    from fanin.reports import check_target, render, strict_json, write_html
    from fanin.reports.check_page import check_page

    if html is not None:
        check_target(html)
    if predict:
        from fanin.cli.prediction import check_prediction

        check_prediction(model, shape, recipe, seed, html, as_json)
        return
    started = time.perf_counter()
    built, example = load_model(model, shape, seed)
    with noise_hint(shape):
        if recipe is not None:
            api.initialize_(built, *example, recipe=recipe, seed=seed)
        before = api.diagnose(built, *example)
    remedy = None if before.healthy else _try_remedy(built, example, before, seed)
    page = check_page(before, remedy, facts(started, "torch"), PROGRAM)
    if as_json:
        typer.echo(strict_json(_data(before, remedy) | {"facts": page.facts}), nl=False)
    else:
        render(page, console())
    if html is not None:
        typer.echo(f"Report: {write_html(page, html)}", err=True)
    raise typer.Exit(0 if before.healthy else 1)


def _data(before: Diagnosis, remedy: tuple[Plan, Diagnosis] | str | None) -> dict[str, Any]:
    """The facts of the report; `remedy` has the plan and what was measured with it, or why it was not tried."""
    if isinstance(remedy, tuple):
        return before.to_dict() | {"remedy": {"plan": remedy[0].to_dict(), "after": remedy[1].to_dict()}}
    return before.to_dict() | {"remedy": {"not_tried": remedy} if remedy else None}


def _try_remedy(model: Any, example: tuple[Any, ...], before: Diagnosis, seed: int) -> tuple[Plan, Diagnosis] | str:
    """The plan that the findings call for and what is measured with it, or why it could not be tried."""
    from fanin import api
    from fanin.diagnosis import remedy_plan
    from fanin.errors import FaninError

    try:
        plan = remedy_plan(before)
        api.initialize_(model, *example, recipe=plan, seed=seed)
        return plan, api.diagnose(model, *example)
    except FaninError as error:
        return f"The remedy could not be tried: {error}"
