"""`fanin init FILE.py:factory --out w.safetensors`: the start of a model as a file of weights."""

from __future__ import annotations

import typer

from fanin.cli.options import Jitter, ModelName, Override, OverridesFile, Recipe, Shape, decided


def init(
    model: ModelName,
    out: str = typer.Option(..., "--out", help="The safetensors file to write."),
    shape: Shape = None,
    recipe: Recipe = "auto",
    override: Override = None,
    overrides: OverridesFile = None,
    jitter: Jitter = 0.0,
    seed: int = typer.Option(0, help="Seed of every value, and of PyTorch before the model is built."),
    json: str = typer.Option(None, "--json", help="Also write the plan to this file."),
) -> None:
    """Decide every parameter, draw it, and write the weights to a file that plain PyTorch loads.

    Of a model of another framework, it holds the weights as PyTorch would store them (docs/frameworks.md).

    In the file's metadata: the digest of plan and seed, the seed, the recipe, the version of fanin. It is written under
    another name first: a file that is there is whole, and the one before it stays until then.
    """
    from fanin.cli.saved import targets, write_start
    from fanin.cli.terminal import progress
    from fanin.frameworks import adapter_of
    from fanin.plans.model import writes

    weights, plan_file = targets(out, json)
    built, example, plan = decided(model, shape, recipe, override, overrides, jitter, seed)
    adapter = adapter_of(built, "save")
    if hasattr(adapter, "started"):  # of a framework whose models are values
        built = adapter.started(built, plan, seed, *example)
    elif not hasattr(adapter, "materialize_"):  # of a framework whose models have memory from the start
        adapter.write_(built, plan, seed)
    else:
        on_meta = any(tensor.is_meta for tensor in (*built.parameters(), *built.buffers()))
        with progress("drawing", sum(map(writes, plan))) as advance:
            if on_meta:
                adapter.materialize_(built, plan, seed, device="cpu", progress=lambda _: advance())
            else:
                adapter.write_(built, plan, seed, progress=lambda _: advance(), keep_copies=False)
    typer.echo(write_start(built, plan, seed, recipe, weights, plan_file))
