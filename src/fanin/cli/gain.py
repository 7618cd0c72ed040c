"""`fanin gain NAME`: what an activation does to a signal."""

from __future__ import annotations

import typer


def gain(
    name: str = typer.Argument(
        ..., help="An activation, with parameters if need be: 'leaky_relu(negative_slope=0.2)'."
    ),
    std: float = typer.Option(1.0, help="Standard deviation of its input."),
    mean: float = typer.Option(0.0, help="Mean of its input."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Print the Gaussian moments of an activation and the gains that follow from them."""
    import json

    from fanin.activations import moments
    from fanin.call import parse_call

    spelled, bracket, rest = name.partition("(")
    spelled, parameters = parse_call(spelled.replace("-", "_") + bracket + rest)
    found = moments(spelled, std=std, mean=mean, **parameters)
    typer.echo(json.dumps(found.to_dict(), indent=2) if as_json else str(found))
