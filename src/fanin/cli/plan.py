"""`fanin plan FILE.py:factory`: the decision for every parameter."""

from __future__ import annotations

import typer


def plan(
    model: str = typer.Argument(..., help="FILE.py:factory, a function that returns a model (or model, example)."),
    shape: str = typer.Option(
        None, "--input", help="Shape of the example input, such as 32,3,224,224; else modules alone."
    ),
    recipe: str = typer.Option("auto", help="A recipe, with arguments if need be: 'normal(std=0.02)'."),
    override: list[str] = typer.Option(
        [], help="KEY=INITIALIZER, such as '*head.weight=zeros' or 'role:readout=zeros'; may be repeated."
    ),
    overrides: str = typer.Option(None, help="A TOML file of the same; what --override says comes after it."),
    predict: bool = typer.Option(
        False, "--predict", help="Also predict what it makes of signals and gradients, beside the model as it is."
    ),
    html: str | None = typer.Option(None, help="Also write the plan and the predicted signals to this file."),
    as_json: bool = typer.Option(False, "--json", help="Print the plan as JSON."),
) -> None:
    """Decide the initial value of every parameter of a model, and say why; nothing is written."""
    from fanin import api
    from fanin.cli.model import load_model, noise_hint, overrides_of
    from fanin.cli.terminal import console
    from fanin.errors import BadInput

    if html is not None:
        from fanin.reports import check_target

        check_target(html)
    chosen = overrides_of(override, overrides)
    built, example = load_model(model, shape, needs_example=False)
    with noise_hint(shape):
        decided = api.plan(built, *example, recipe=recipe, overrides=chosen)
    if predict or html is not None:
        from fanin.cli.planned import show_predicted

        if not example:
            raise BadInput("Signals are predicted for an input. Add --input with its shape, for example --input 32,64.")
        show_predicted(built, example, decided, html, as_json)
    elif as_json:
        typer.echo(decided.to_json())
    else:
        console().print(decided)
