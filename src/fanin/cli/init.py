"""`fanin init FILE.py:factory --out w.safetensors`: the start of a model as a file of weights."""

from __future__ import annotations

import typer


def init(
    model: str = typer.Argument(..., help="FILE.py:factory, a function that returns a model (or model, example)."),
    out: str = typer.Option(..., "--out", help="The safetensors file to write."),
    shape: str = typer.Option(
        None, "--input", help="Shape of the example input, such as 32,3,224,224; else modules alone."
    ),
    recipe: str = typer.Option("auto", help="A recipe, with arguments if need be: 'normal(std=0.02)'."),
    override: list[str] = typer.Option(
        [], help="KEY=INITIALIZER, such as '*head.weight=zeros' or 'role:readout=zeros'; may be repeated."
    ),
    overrides: str = typer.Option(None, help="A TOML file of the same; what --override says comes after it."),
    seed: int = typer.Option(0, help="Seed of every value, and of PyTorch before the model is built."),
    json: str = typer.Option(None, "--json", help="Also write the plan to this file."),
) -> None:
    """Decide every parameter, draw it, and write the weights to a file that plain PyTorch loads.

    In the file's metadata: the digest of plan and seed, the seed, the recipe, the version of fanin. It is written under
    another name first: a file that is there is whole, and the one before it stays until then.
    """
    from fanin import api
    from fanin.cli.model import load_model, noise_hint, overrides_of
    from fanin.cli.saved import targets, write_start
    from fanin.cli.terminal import progress
    from fanin.frameworks.torch import materialize_, write_
    from fanin.plans.model import writes

    weights, plan_file = targets(out, json)
    chosen = overrides_of(override, overrides)
    built, example = load_model(model, shape, seed, needs_example=False)
    with noise_hint(shape):
        plan = api.plan(built, *example, recipe=recipe, overrides=chosen)
    on_meta = any(tensor.is_meta for tensor in (*built.parameters(), *built.buffers()))
    with progress("drawing", sum(map(writes, plan))) as advance:
        if on_meta:
            materialize_(built, plan, seed, device="cpu", progress=lambda _: advance())
        else:
            write_(built, plan, seed, progress=lambda _: advance(), keep_copies=False)
    typer.echo(write_start(built, plan, seed, recipe, weights, plan_file))
