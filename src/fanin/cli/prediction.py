"""`fanin check --predict`: what the graph alone says of a model, beside what is measured on it."""

from __future__ import annotations

import time
from typing import Any

import typer

from fanin import api
from fanin.cli.facts import PROGRAM, facts, framework_of
from fanin.cli.model import example_hint, load_model
from fanin.cli.terminal import console
from fanin.frameworks import adapter_of
from fanin.reports import render, strict_json, write_html
from fanin.reports.prediction_page import layer_rows, prediction_page
from fanin.signals import stacks

ON_META = (
    "The model is on the meta device: nothing was measured, and the weights are taken to start as the recipe says."
)


def check_prediction(
    model: str, shape: str | None, recipe: str | None, seed: int, html: str | None, as_json: bool
) -> None:
    """Predict, and measure if the model has values; print both."""
    started = time.perf_counter()
    built, example = load_model(model, shape, seed)
    on_meta = not adapter_of(built, "has_values").has_values(built)
    with example_hint(shape, example):
        plan = api.plan(built, *example, recipe=recipe or "auto") if on_meta or recipe is not None else None
        predicted = api.predict(built, *example, plan=plan)
        if plan is not None and not on_meta:
            api.initialize_(built, recipe=plan, seed=seed)
        measured = None if on_meta else api.measure(built, *example)
    page = prediction_page(
        predicted, measured, facts(started, framework_of(built)), PROGRAM, ON_META if on_meta else ""
    )
    if as_json:
        data: dict[str, Any] = {
            "layers": [row._asdict() for row in layer_rows(predicted, measured)],
            "predicted": predicted.to_dict(),
            "measured": measured.to_dict() if measured else None,
            "stacks": [stack.to_dict() for stack in stacks(predicted)],
            "sampled": dict(predicted.sampled),
            "assumed": {name: list(marks) for name, marks in predicted.assumed.items()},
            "facts": page.facts,
        }
        typer.echo(strict_json(data), nl=False)
    else:
        render(page, console())
    if html is not None:
        typer.echo(f"Report: {write_html(page, html)}", err=True)
