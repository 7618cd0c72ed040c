"""`fanin explain CODE`: the page of a check."""

from __future__ import annotations

import typer


def explain(
    code: str = typer.Argument(..., help="A code such as B01, or a name such as 'vanishing gradients'."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Explain a finding: what it does, why it is bad, an example, the remedy, exceptions, source."""
    import json

    from rich.console import Console
    from rich.markdown import Markdown

    from fanin.diagnosis import check_named

    check = check_named(code)
    if as_json:
        typer.echo(
            json.dumps({"code": check.code, "name": check.name, "page": check.page}, ensure_ascii=False, indent=2)
        )
        return
    Console(width=min(Console().width, 100)).print(Markdown(f"# {check.code} {check.name}\n\n{check.page}"))
