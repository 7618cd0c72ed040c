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
    as_json: bool = typer.Option(False, "--json", help="Print the plan as JSON."),
) -> None:
    """Decide the initial value of every parameter of a model, and say why; nothing is written."""
    from fanin import api
    from fanin.cli.model import load_model, noise_hint, overrides_of
    from fanin.cli.terminal import console

    chosen = overrides_of(override, overrides)
    built, example = load_model(model, shape, needs_example=False)
    with noise_hint(shape):
        decided = api.plan(built, *example, recipe=recipe, overrides=chosen)
    if as_json:
        typer.echo(decided.to_json())
    else:
        console().print(decided)
