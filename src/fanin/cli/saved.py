"""A start on disk: weights that plain PyTorch loads, and the plan that they are of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from fanin import __version__
from fanin.files import check_target, replacing
from fanin.plans import Plan
from fanin.plans.digest import SHOWN


def targets(out: str | None, plan: str | None) -> tuple[Path | None, Path | None]:
    """The files of weights and plan, refused before any work is done if they cannot be written."""
    return (
        check_target(out, "weights.safetensors") if out is not None else None,
        check_target(plan, "plan.json") if plan is not None else None,
    )


def write_start(model: Any, plan: Plan, seed: int, recipe: str, out: Path | None, plan_file: Path | None) -> str:
    """Write those of the two that are asked for, each whole or not at all; returns a line to say so, or ""."""
    from fanin.frameworks import adapter_of

    said = ""
    digest = plan.digest(seed)
    if out is not None:
        facts = {"fanin_digest": digest, "fanin_seed": str(seed), "fanin_recipe": recipe, "fanin_version": __version__}
        size = adapter_of(model, "save").save(model, out, facts, plan)
        count = sum(entry.target.size for entry in plan)
        said = f"{out}: {count:,} parameters, {size:,} bytes, seed {seed}, digest {digest[:SHOWN]}"
    if plan_file is not None:
        with replacing(plan_file) as temporary:
            temporary.write_text(plan.to_json() + "\n", encoding="utf-8")
    return said


def say(line: str, *, err: bool = False) -> None:
    """Print it, if there is anything to say."""
    if line:
        typer.echo(line, err=err)
