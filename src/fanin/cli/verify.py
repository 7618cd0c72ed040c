"""`fanin verify FILE.py:factory weights.safetensors --plan plan.json`: are these weights the start that they claim?"""

from __future__ import annotations

from typing import Annotated

import typer

from fanin.cli.options import ModelName


def verify(
    model: ModelName,
    weights: Annotated[
        str,
        typer.Argument(
            help="A safetensors file, of `fanin init` or of a training run's start; of a Keras model also its own "
            "`.weights.h5` or `.keras`."
        ),
    ],
    plan: Annotated[str, typer.Option(help="The plan as JSON, as `fanin init … --json plan.json` writes it.")],
    seed: Annotated[
        int | None, typer.Option(help="With which it was drawn; what the file's metadata says, if not given.")
    ] = None,
    blocks: Annotated[int, typer.Option(help="Blocks of 4096 elements to compare of each parameter; 0 is all.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Draw blocks of each parameter again and compare them with the file, bit for bit; exit 1 if any differs."""
    from dataclasses import asdict
    from pathlib import Path

    from fanin import api
    from fanin.cli.facts import framework_of
    from fanin.cli.model import load_model
    from fanin.cli.terminal import console
    from fanin.errors import BadInput
    from fanin.frameworks import adapter_of
    from fanin.frameworks.files import metadata_of, verify_file
    from fanin.plans import Plan
    from fanin.reports import strict_json

    if not Path(plan).is_file():
        raise BadInput(f"There is no file {plan!r}. `fanin init … --json {plan}` writes a plan beside the weights.")
    wanted = Plan.from_json(Path(plan).read_text(encoding="utf-8"))
    built, _ = load_model(model, None, needs_example=False)
    file = Path(weights)
    logical = file.suffix == ".safetensors" and framework_of(built) != "torch"
    said = (metadata_of(file) if logical else adapter_of(built, "load").load(built, file)).get("fanin_seed")
    if seed is None and said is None:
        raise BadInput(f"{weights} does not say with which seed it was drawn. Give it: --seed 0.")
    drawn_with = seed if seed is not None else int(said or 0)
    if logical:
        found = verify_file(wanted, file, drawn_with, blocks or None)
    else:
        found = api.verify(built, wanted, seed=drawn_with, blocks=blocks or None)
    if as_json:
        typer.echo(strict_json({"ok": found.ok, "seed": drawn_with} | asdict(found)), nl=False)
    else:
        console().print(found)
    raise typer.Exit(0 if found.ok else 1)
