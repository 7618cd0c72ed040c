"""`fanin list WHAT`: the names that fanin knows."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import typer


def list_(
    what: str = typer.Argument("recipes", help="recipes, checks, initializers, activations, nets, data, or lessons."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List recipes, checks, initializers, activations, or the nets, data and lessons of comparisons."""
    import json

    from rich.table import Table
    from rich.text import Text

    from fanin.cli.terminal import console
    from fanin.errors import UnknownName

    tables: dict[str, Callable[[], dict[str, str]]] = {
        "recipes": _recipes,
        "checks": _checks,
        "initializers": _initializers,
        "activations": _activations,
        "nets": _nets,
        "data": _data,
        "lessons": _lessons,
    }
    if what not in tables:
        raise UnknownName("list", what, tables)
    rows = tables[what]()
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    view = Table(box=None, show_header=False, pad_edge=False)
    view.add_column(style="bold", no_wrap=True)
    view.add_column(overflow="fold")
    for name, text in rows.items():
        view.add_row(Text(name), Text(text))
    console().print(view)


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def _recipes() -> dict[str, str]:
    from fanin.plans import RECIPES

    return {name: _first_line(recipe) for name, recipe in RECIPES.items()}


def _checks() -> dict[str, str]:
    from fanin.diagnosis import CHECKS, Check

    def said(check: Check) -> str:
        needs = f" Needs {check.needs}." if check.needs else ""
        return f"{check.name}: {check.summary}{needs}{'' if check.remedy else ' No start helps.'}"

    return {check.code: said(check) for check in CHECKS.values()}


def _initializers() -> dict[str, str]:
    from fanin.initializers import ALIASES, ALL

    aliases = {alias: f"another name of {name}" for alias, name in ALIASES.items()}
    return {name: _first_line(what) for name, what in ALL.items()} | aliases


def _activations() -> dict[str, str]:
    from fanin.activations import TABLE, moments

    return {name: str(moments(phi)) for name, phi in TABLE.items()}


def _nets() -> dict[str, str]:
    from fanin.experiments.nets import NETS

    return {name: _first_line(net) for name, net in NETS.items()}


def _data() -> dict[str, str]:
    from fanin.experiments.data import DATA

    return {name: _first_line(data) for name, data in DATA.items()}


def _lessons() -> dict[str, str]:
    from fanin.experiments.lessons import LESSONS

    return {name: lesson.question for name, lesson in LESSONS.items()}
