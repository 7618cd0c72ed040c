"""Fill a module's parameters as a plan says: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.autograd.graph import increment_version

from fanin.errors import CannotWrite
from fanin.frameworks.torch.model.memory import shared_memory
from fanin.frameworks.torch.model.names import named_parameters
from fanin.frameworks.torch.model.parametrized import singular_vectors
from fanin.frameworks.torch.model.shards import local_of, parts_of
from fanin.frameworks.torch.writing.fill import fill_
from fanin.frameworks.torch.writing.obstacles import is_plain, of_model, of_parameter
from fanin.plans import Plan
from fanin.plans.model import writes
from fanin.stream import key


def write_(
    model: torch.nn.Module,
    plan: Plan,
    seed: int,
    *,
    progress: Callable[[str], None] | None = None,
    keep_copies: bool = True,
) -> None:
    """Draw every parameter of the plan and write it in place. A failure leaves the model bit for bit as it was.

    All that can be known to fail is checked before the first value is written; for what cannot (interruption, memory),
    each tensor is copied, on its device, before it is overwritten, and the copies are written back. Memory layouts are
    kept: the value of an element depends on its logical index, not on where it lies. Of a DTensor, this process writes
    the elements that it holds; nothing is sent, and what others hold is written by them. The singular vectors by which
    a spectral norm knows a weight follow it.

    Args:
        progress: called with each path after it is written.
        keep_copies: without copies, which take as much memory as what is written of the model in this process until
            the call returns, a failure leaves it half written. For models that hold nothing yet.

    Raises:
        BadInput: the seed is not an integer in [0, 2¹²⁸).
        CannotWrite: the plan and the model disagree, or a tensor cannot be written; lists every such parameter.
    """
    key(seed, "")  # a plan that draws nothing must refuse a bad seed as well
    tensors: dict[str, torch.Tensor] = {path: tensor for path, (tensor, _) in named_parameters(model).items()}
    held = {path: local_of(t) for path, t in tensors.items() if not torch.nn.parameter.is_lazy(t)}
    _agree(model, tensors, held, plan)
    before: list[tuple[torch.Tensor, torch.Tensor]] = []
    written: list[torch.Tensor] = []
    try:
        with torch.no_grad():
            for entry in plan:
                if not writes(entry):
                    continue
                path = entry.parameter.path
                tensor, memory = tensors[path], held[path]
                if keep_copies:
                    before.append((memory, memory.clone()))
                written += [tensor, memory]
                fill_(parts_of(tensor, memory), entry.target, entry.initializer, seed)
                if progress:
                    progress(path)
            drawn = {id(tensors[e.parameter.path]): e.parameter.path for e in plan if writes(e)}
            for vectors in singular_vectors(model, drawn):
                before += [(x, x.clone()) for x in (vectors.u, vectors.v) if keep_copies]
                vectors.follow(seed)
    except BaseException:
        with torch.no_grad():
            for memory, old in before:
                memory.copy_(old)
        raise
    finally:
        increment_version(written)  # what was drawn into memory, autograd did not see


def _agree(
    model: torch.nn.Module, tensors: Mapping[str, torch.Tensor], held: Mapping[str, torch.Tensor], plan: Plan
) -> None:
    planned = {e.parameter.path: e for e in plan}
    tied = {name: path for path, e in planned.items() for name in e.parameter.also}
    problems = of_model(model)
    problems += [f"{path}: in the plan, not in the model" for path in planned if path not in tensors]
    for path, tensor in tensors.items():
        if path in tied:
            problems.append(f"{path}: tied to {tied[path]} in the plan, a tensor of its own in the model; tie it again")
        elif path not in planned:
            problems.append(f"{path}: in the model, not in the plan")
        elif writes(planned[path]):
            problems += [f"{path}: {what}" for what in of_parameter(tensor, held.get(path), planned[path].parameter)]
    problems += shared_memory({path: memory for path, memory in held.items() if is_plain(memory)})
    if problems:
        shown = "; ".join(problems[:5]) + ("; …" if len(problems) > 5 else "")
        raise CannotWrite(f"Nothing was written. {len(problems)} parameter(s) stand in the way: {shown}.")
