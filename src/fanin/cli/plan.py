"""`fanin plan FILE.py:factory`: the decision for every parameter."""

from __future__ import annotations

import typer

from fanin.cli.options import Jitter, ModelName, Override, OverridesFile, Recipe, Shape, decided


def plan(
    model: ModelName,
    shape: Shape = None,
    recipe: Recipe = "auto",
    override: Override = None,
    overrides: OverridesFile = None,
    jitter: Jitter = 0.0,
    predict: bool = typer.Option(
        False, "--predict", help="Also predict what it makes of signals and gradients, beside the model as it is."
    ),
    html: str | None = typer.Option(None, help="Also write the plan and the predicted signals to this file."),
    as_json: bool = typer.Option(False, "--json", help="Print the plan as JSON."),
) -> None:
    """Decide the initial value of every parameter of a model, and say why; nothing is written."""
    from fanin.cli.terminal import console
    from fanin.errors import BadInput

    if html is not None:
        from fanin.reports import check_target

        check_target(html)
    built, example, made = decided(model, shape, recipe, override, overrides, jitter)
    if predict or html is not None:
        from fanin.cli.planned import show_predicted

        if not example:
            raise BadInput("Signals are predicted for an input. Add --input with its shape, for example --input 32,64.")
        show_predicted(built, example, made, html, as_json)
    elif as_json:
        typer.echo(made.to_json())
    else:
        console().print(made)
