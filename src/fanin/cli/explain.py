"""`fanin explain CODE…`: the pages of checks."""

from __future__ import annotations

import typer


def explain(
    codes: list[str] = typer.Argument(
        ..., metavar="CODE", help="Codes such as B01, or names such as 'vanishing gradients'."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON; a list where several are asked for."),
) -> None:
    """Explain findings: what each check does, why it is bad, an example, the remedy, exceptions, source."""
    import json

    from rich.console import Console
    from rich.markdown import Markdown

    from fanin.diagnosis import check_named

    checks = [check_named(code) for code in codes]
    if as_json:
        pages = [
            {
                "code": check.code,
                "name": check.name,
                "summary": check.summary,
                "needs": check.needs,
                "start_helps": check.remedy is not None,
                "page": check.page,
            }
            for check in checks
        ]
        typer.echo(json.dumps(pages[0] if len(pages) == 1 else pages, ensure_ascii=False, indent=2))
        return
    console = Console(width=min(Console().width, 100))
    for check in checks:
        console.print(Markdown(f"# {check.code} {check.name}\n\n{check.page}"))
