"""`fanin check FILE.py:factory`: what is wrong with a model's start, and what the remedies change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from fanin.cli.checked import Checked
    from fanin.reports import Page

FORMATS: Final = ("text", "json", "sarif", "github")


def _schema(wanted: bool) -> None:
    if wanted:
        from fanin.diagnosis.schema import schema_text

        typer.echo(schema_text(), nl=False)
        raise typer.Exit


def check(
    models: list[str] = typer.Argument(
        ..., metavar="FILE.py:FACTORY", help="Functions that return a model, or (model, example)."
    ),
    shape: str = typer.Option(None, "--input", help="Shape of the example input, such as 32,3,224,224."),
    recipe: str = typer.Option(None, help="Start the model with this recipe first, instead of as it is built."),
    loss: str = typer.Option(
        None,
        help="A function of the model's output, by name: of the model's file, of torch.nn.functional, or FILE.py:f.",
    ),
    optimizer: str = typer.Option(
        None, help="Of torch.optim, such as 'adamw(lr=0.001)': the size of its first step is judged, too."
    ),
    follows: str = typer.Option(
        None, help="The recipe by which the model is said to start, such as gpt2: what starts otherwise is named."
    ),
    fix: bool = typer.Option(False, "--fix", help="Try the remedies, keep what helps, and show before and after."),
    out: str = typer.Option(None, "--out", help="With --fix, write the repaired start to this safetensors file."),
    plan: str = typer.Option(None, "--plan", help="With --fix, write the plan of the repaired start to this file."),
    select: list[str] = typer.Option([], help="Only these checks: codes or families, 'F,B01'; may be repeated."),
    ignore: list[str] = typer.Option([], help="Not these: 'B02', or in some modules 'U02:gate.*'; may be repeated."),
    fail_on: str = typer.Option(None, "--fail-on", help="error or warning (the default): the least that exits with 1."),
    predict: bool = typer.Option(
        False, "--predict", help="Predict the signals from the graph alone, and print them beside the measured ones."
    ),
    seed: int = typer.Option(0, help="Seed of PyTorch before the model is built, and of what fanin draws."),
    html: str = typer.Option(None, help="Also write the report to this file."),
    form: str = typer.Option(None, "--format", help="text (the default), json, sarif, or github (annotations)."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON: --format json."),
    schema: bool = typer.Option(
        False, "--schema", callback=_schema, is_eager=True, help="Print the JSON schema of --json, and nothing else."
    ),
) -> None:
    """Measure one forward and backward pass and name what is wrong: exit 0 if nothing, 1 on findings, 2 on misuse.

    With --fix, the remedies are tried one by one on the model in memory, and the exit code says what is left; your
    file is not changed. A table tool.fanin.check in pyproject.toml may say select, ignore and fail-on. With --predict,
    nothing is judged: the table says what flows, a model on the meta device is not measured, and the exit code is 0.
    """
    import time

    from fanin.cli.checked import Wanted, checked
    from fanin.cli.facts import PROGRAM, facts, framework_of
    from fanin.cli.saved import say, targets, write_start
    from fanin.diagnosis.diagnose import untouched
    from fanin.reports import check_target, write_html
    from fanin.reports.check_page import check_page

    chosen = _format(form, as_json)
    _refuse_conflicts(models, fix=fix, of_one={"--predict": predict, "--html": html, "--out": out, "--plan": plan})
    if html is not None:
        check_target(html)
    weights, plan_file = targets(out, plan)
    if predict:
        from fanin.cli.prediction import check_prediction

        check_prediction(models[0], shape, recipe, seed, html, chosen == "json")
        return
    wanted = Wanted(shape, recipe, loss, optimizer, follows, seed, fix, select, ignore, fail_on)
    found, pages = [], []
    for reference in models:
        started = time.perf_counter()
        one = checked(reference, wanted)
        page = check_page(one.before, one.repair, facts(started, framework_of(one.model)), PROGRAM)
        found.append(one)
        pages.append(page)
        if chosen == "text":
            _print(one, page)
    if chosen != "text":
        typer.echo(_for_machines(chosen, found, pages), nl=False)
    if found[0].repair:
        start = found[0].repair.plan or untouched(found[0].before.graph)
        say(write_start(found[0].model, start, seed, start.recipe, weights, plan_file), err=True)
    if html is not None:
        say(f"Report: {write_html(pages[0], html)}", err=True)
    raise typer.Exit(1 if any(one.failed for one in found) else 0)


def _format(form: str | None, as_json: bool) -> str:
    from fanin.errors import BadInput, UnknownName

    if form is not None and form not in FORMATS:
        raise UnknownName("format", form, FORMATS)
    if as_json and form not in {None, "json"}:
        raise BadInput(f"--json and --format {form} ask for two things; give one of them.")
    return "json" if as_json else form or "text"


def _refuse_conflicts(models: Sequence[str], *, fix: bool, of_one: dict[str, object]) -> None:
    """Options that would have no meaning together are refused before anything is built."""
    from fanin.errors import BadInput

    given = [name for name, value in of_one.items() if value]
    if len(models) > 1 and given:
        raise BadInput(f"{given[0]} is for one model; got {len(models)}. Run the command once for each.")
    if (kept := [name for name in given if name in {"--out", "--plan"}]) and not fix:
        raise BadInput(f"{kept[0]} keeps what the remedies change: add --fix. (`fanin init` writes a start by recipe.)")


def _print(one: Checked, page: Page) -> None:
    from fanin.cli.saved import say
    from fanin.cli.terminal import console
    from fanin.reports import render

    render(page, console())
    say(f"\n{one.account}" if one.account else "")


def _for_machines(form: str, found: Sequence[Checked], pages: Sequence[Page]) -> str:
    """The findings of all models in one document; annotations are of what is left."""
    from fanin import __version__
    from fanin.reports import strict_json
    from fanin.reports.github import annotated
    from fanin.reports.sarif import Located, sarif

    if form == "json":
        data = [one.to_dict(page.facts) for one, page in zip(found, pages, strict=True)]
        return strict_json(data[0] if len(data) == 1 else data)
    if form == "sarif":
        results = [Located(finding, one.name, *one.where(finding)) for one in found for finding in one.left]
        return strict_json(sarif(results, __version__, sum(len(one.left.ignored) for one in found)))
    return "".join(annotated(one.left, one.where) + f"{one.name}: {one.left.head}\n" for one in found)
