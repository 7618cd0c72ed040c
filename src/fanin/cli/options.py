"""The options with which a plan is decided, for the commands that do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fanin.plans import Plan

ModelName = Annotated[str, typer.Argument(help="FILE.py:factory, a function that returns a model (or model, example).")]
Shape = Annotated[
    str | None,
    typer.Option("--input", help="Shape of the example input, such as 32,3,224,224; else modules alone."),
]
Recipe = Annotated[str, typer.Option(help="A recipe, with arguments if need be: 'normal(std=0.02)'.")]
Override = Annotated[
    list[str] | None,
    typer.Option(help="KEY=INITIALIZER, such as '*head.weight=zeros' or 'role:readout=zeros'; may be repeated."),
]
OverridesFile = Annotated[
    str | None, typer.Option(help="A TOML file of the same; what --override says comes after it.")
]
Jitter = Annotated[
    float, typer.Option(help="Noise on weights that start with an exact symmetry, as a share of their size: 0.01.")
]


def decided(
    model: str,
    shape: str | None,
    recipe: str,
    override: Sequence[str] | None,
    overrides: str | None,
    jitter: float,
    seed: int = 0,
) -> tuple[Any, tuple[Any, ...], Plan]:
    """The model that the factory makes, its example, and the plan for it."""
    from fanin import api
    from fanin.cli.model import example_hint, load_model, overrides_of

    chosen = overrides_of(override or (), overrides)
    built, example = load_model(model, shape, seed, needs_example=False)
    with example_hint(shape, example):
        return built, example, api.plan(built, *example, recipe=recipe, overrides=chosen, jitter=jitter)
