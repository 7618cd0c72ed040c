"""From a module and a call to a program of operations: by the exporter, or else from one run of the model."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from fanin.errors import CannotTrace, FaninError
from fanin.frameworks.torch.model.call import Call
from fanin.frameworks.torch.model.failure import explain, first_line, where
from fanin.frameworks.torch.model.output import Build, taken_apart
from fanin.frameworks.torch.tracing.functional import functional
from fanin.frameworks.torch.tracing.recorded_run import recorded_run
from fanin.frameworks.torch.tracing.sizes import with_sizes


class Program(NamedTuple):
    """What runs.

    Attributes:
        exported: its outputs are the tensors in the model's.
        output: from those to what the model returns.
        notes: where it holds for the example only.
    """

    exported: torch.export.ExportedProgram
    output: Build
    notes: tuple[str, ...] = ()


def program_of(model: torch.nn.Module, call: Call, *, sharded: bool) -> Program:
    """The program of one call.

    Raises:
        ShapeMismatch, BadInput, CannotTrace: neither way; the message is about the model and the example.
    """
    try:
        return _with_sizes(_exported(model, call), model, call)
    except FaninError:
        raise
    except Exception as error:  # whatever the user's forward raises is explained and re-raised
        explained = (_of_shards if sharded else explain)(error, model, call)
        if sharded or not isinstance(explained, CannotTrace):
            raise explained from error
        try:
            return _of_one_run(model, call, where(error))
        except Exception as second:  # noqa: BLE001  # the first reason is the one to tell
            told = first_line(second) in str(explained) or any(x.is_meta for x in model.parameters())
            failed = f" (A run on the example fails, too: {type(second).__name__}: {first_line(second)}.)"
            raise explained if told else CannotTrace(f"{explained}{failed}") from error


def _exported(model: torch.nn.Module, call: Call) -> Program:
    builds: list[Build] = []

    def tensors_alone(_module: torch.nn.Module, _inputs: Any, output: Any) -> tuple[torch.Tensor, ...]:
        tensors, build = taken_apart(output)
        builds.append(build)
        return tensors

    hook = model.register_forward_hook(tensors_alone)  # after the user's own
    try:
        program = torch.export.export(model, call.args, call.keywords, strict=False)
    finally:
        hook.remove()
    return Program(functional(program), builds[-1])


def _of_one_run(model: torch.nn.Module, call: Call, at: str) -> Program:
    """Where the exporter stopped `at` some line."""
    run = recorded_run(model, call)
    exported = functional(torch.export.export(run.module, call.args, call.keywords, strict=False))
    lines = f" at {', '.join(run.reads)}" if run.reads else at.removeprefix(",")
    note = (
        "recorded from one run on the example, since torch.export cannot follow the model: branches are as that run "
        f"took them, and numbers that it read from tensors{lines} are fixed"
    )
    return _with_sizes(Program(exported, run.output, (note,)), model, call)


def _with_sizes(program: Program, model: torch.nn.Module, call: Call) -> Program:
    note = with_sizes(program.exported, model, call)
    return program._replace(notes=(*program.notes, note)) if note else program


def _of_shards(error: Exception, model: torch.nn.Module, call: Call) -> FaninError:
    """What a sharded model computes of whole parameters may differ from what was written for one process."""
    explained = explain(error, model, call)
    return type(explained)(
        f"{explained} The model is sharded: plan it on the meta device, or before it is sharded, and hand the plan "
        "over: initialize_(sharded, recipe=plan, seed=0)."
    )
