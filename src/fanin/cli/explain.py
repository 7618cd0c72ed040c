"""`fanin explain CODE…`: the pages of checks, and of the alarms of `fanin.watch`."""

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

    from fanin.monitor.explained import explained

    pages = [explained(code) for code in codes]
    if as_json:
        typer.echo(json.dumps(pages[0] if len(pages) == 1 else pages, ensure_ascii=False, indent=2))
        return
    console = Console(width=min(Console().width, 100))
    for page in pages:
        while_training = f"\n\n# While training\n\n{page['watch']}" if page["watch"] and page["page"] else ""
        text = page["page"] or page["watch"]
        console.print(Markdown(f"# {page['code']} {page['name']}\n\n{text}{while_training}"))
