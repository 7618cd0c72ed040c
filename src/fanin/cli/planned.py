"""`fanin plan --predict`: what a plan makes of signals and gradients, beside what the model starts with now."""

from __future__ import annotations

import json
import time
from typing import Any

import typer

from fanin import api
from fanin.cli.facts import PROGRAM, facts, framework_of
from fanin.cli.terminal import console
from fanin.frameworks import adapter_of
from fanin.plans import Plan
from fanin.reports import render, strict_json, write_html
from fanin.reports.plan_page import ends, plan_page
from fanin.reports.prediction_page import layer_rows
from fanin.signals import Signals

AS_BUILT = "as it is built"


def show_predicted(model: Any, example: tuple[Any, ...], plan: Plan, html: str | None, as_json: bool) -> None:
    """Predict from the plan, and from the weights that the model has if it has any; print both."""
    started = time.perf_counter()
    predicted: dict[str, Signals] = {}
    if adapter_of(model, "has_values").has_values(model):
        predicted[AS_BUILT] = api.predict(model, *example)
    predicted[plan.recipe] = api.predict(model, *example, plan=plan)
    page = plan_page(plan, predicted, facts(started, framework_of(model)), PROGRAM)
    if as_json:
        found = [ends(start, layer_rows(of, None))._asdict() for start, of in predicted.items()]
        typer.echo(strict_json(json.loads(plan.to_json()) | {"predicted": found}), nl=False)
    else:
        render(page, console())
    if html is not None:
        typer.echo(f"Report: {write_html(page, html)}", err=True)
