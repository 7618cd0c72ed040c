"""`fanin gain NAME`: what an activation does to a signal."""

from __future__ import annotations

import typer


def gain(
    name: str = typer.Argument(
        ..., help="An activation, with parameters if need be: 'leaky_relu(negative_slope=0.2)'."
    ),
    std: float = typer.Option(1.0, help="Standard deviation of its input."),
    mean: float = typer.Option(0.0, help="Mean of its input."),
    bias_var: float = typer.Option(0.0, help="Variance of the biases of the deep nets shown."),
    html: str = typer.Option(None, help="Also write the report, with the phase diagram, to this file."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Print the Gaussian moments of an activation, its gains beside torch's, and what deep nets of it do."""
    import time
    from dataclasses import replace

    from fanin.activations import activation
    from fanin.call import parse_call
    from fanin.cli.facts import PROGRAM, facts
    from fanin.cli.terminal import console
    from fanin.reports import check_target, render, strict_json, write_html
    from fanin.reports.gain_page import gain_data, gain_page

    if html is not None:
        check_target(html)
    started = time.perf_counter()
    spelled, bracket, rest = name.partition("(")
    spelled, parameters = parse_call(spelled.replace("-", "_") + bracket + rest)
    phi = activation(spelled, **parameters)
    page = gain_page(phi, std, mean, bias_var, {}, PROGRAM, plots=html is not None)
    if as_json:
        typer.echo(strict_json(gain_data(phi, std, mean, bias_var)), nl=False)
    else:
        render(replace(page, generated_by="", sections=page.sections[:2]), console())
    if html is not None:
        written = write_html(replace(page, facts=facts(started, "numpy")), html)
        typer.echo(f"Report: {written}", err=True)
