"""`fanin demo`: the whole story on real data, in under a minute and a half."""

from __future__ import annotations

import typer


def demo(
    seeds: int = typer.Option(3, min=1, help="Training runs of each net and start."),
    steps: int = typer.Option(400, min=10, help="Training steps of each run."),
    html: str = typer.Option("report.html", help="Where to write the report."),
    as_json: bool = typer.Option(False, "--json", help="Print all facts as JSON instead of text."),
) -> None:
    """Start two 40-layer nets badly and well, check them, and train them on handwritten digits."""
    import time

    from fanin.cli.facts import PROGRAM, facts
    from fanin.errors import MissingExtra
    from fanin.reports import check_target, render_section, strict_json, write_html

    try:
        from fanin.experiments import first_light
        from fanin.reports import demo_page
    except ImportError as error:
        raise MissingExtra(error.name or "PyTorch", "demo", "The demonstration") from error
    from fanin.cli.terminal import console

    check_target(html)
    started = time.perf_counter()
    out = console(quiet=as_json)
    checked = []
    for activation in first_light.ACTIVATIONS:
        found = first_light.check(activation)
        checked.append(found)
        render_section(demo_page.before(found), out)
        render_section(demo_page.after(found), out)
    training = first_light.train(seeds, steps)
    for found in checked:
        render_section(demo_page.trained(found, training), out)
    seen = first_light.FirstLight(tuple(checked), training)
    page = demo_page.demo_page(seen, facts(started, "torch", "scikit-learn", "numpy"), PROGRAM)
    path = write_html(page, html)
    if as_json:
        typer.echo(strict_json({**seen.to_dict(), "facts": page.facts, "report": str(path)}), nl=False)
    out.print(f"\n{page.summary}\nReport: {path}  ({page.facts['seconds']} s)", soft_wrap=True)
