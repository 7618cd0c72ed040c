"""Fill a module's parameters as a plan says: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from fanin.errors import CannotWrite
from fanin.frameworks.torch.memory import shared_memory
from fanin.frameworks.torch.names import named_parameters
from fanin.plans import Entry, Plan
from fanin.plans.model import writes
from fanin.stream import key

DTYPES = ("float32", "float64", "float16", "bfloat16")


def write_(model: torch.nn.Module, plan: Plan, seed: int, *, progress: Callable[[str], None] | None = None) -> None:
    """Draw every parameter of the plan and write it in place. A failure leaves the model bit for bit as it was.

    All that can be known to fail is checked before the first value is written; for what cannot (interruption, memory),
    each tensor is copied before it is overwritten, and the copies are written back. Memory layouts are kept: the value
    of an element depends on its logical index, not on where it lies.

    Raises:
        BadInput: the seed is not an integer in [0, 2¹²⁸).
        CannotWrite: the plan and the model disagree, or a tensor cannot be written; lists every such parameter.
    """
    key(seed, "")  # a plan that draws nothing must refuse a bad seed as well
    tensors: dict[str, torch.Tensor] = {path: tensor for path, (tensor, _) in named_parameters(model).items()}
    _agree(tensors, plan)
    before: list[tuple[torch.Tensor, torch.Tensor]] = []
    try:
        with torch.no_grad():
            for entry in plan:
                if writes(entry):
                    tensor = tensors[entry.parameter.path]
                    values = _draw(entry, seed)
                    before.append((tensor, tensor.detach().clone()))
                    tensor.copy_(values)
                    if progress:
                        progress(entry.parameter.path)
    except BaseException:
        with torch.no_grad():
            for tensor, old in before:
                tensor.copy_(old)
        raise


def _draw(entry: Entry, seed: int) -> torch.Tensor:
    flat = np.ascontiguousarray(entry.initializer.draw(entry.target, seed))
    tensor = torch.from_numpy(flat).reshape(entry.parameter.shape)
    return tensor.view(torch.bfloat16) if entry.parameter.dtype == "bfloat16" else tensor


def _agree(tensors: dict[str, torch.Tensor], plan: Plan) -> None:
    planned = {e.parameter.path: e for e in plan}
    problems = [f"{path}: in the plan, not in the model" for path in planned if path not in tensors]
    problems += [f"{path}: in the model, not in the plan" for path in tensors if path not in planned]
    for path, tensor in tensors.items():
        if path in planned and writes(planned[path]):
            problems += [f"{path}: {what}" for what in _obstacles(tensor, planned[path])]
    problems += shared_memory(tensors)
    if problems:
        shown = "; ".join(problems[:5]) + ("; …" if len(problems) > 5 else "")
        raise CannotWrite(f"Nothing was written. {len(problems)} parameter(s) stand in the way: {shown}.")


def _obstacles(tensor: torch.Tensor, entry: Entry) -> list[str]:
    planned = entry.parameter
    if torch.nn.parameter.is_lazy(tensor):
        return ["it has no shape yet; run the model once to make its lazy layers"]
    dtype = str(tensor.dtype).removeprefix("torch.")
    found = []
    if tuple(tensor.shape) != planned.shape:
        found.append(f"the plan has shape {planned.shape}, the model {tuple(tensor.shape)}")
    if dtype != planned.dtype:
        found.append(f"the plan has dtype {planned.dtype}, the model {dtype}")
    elif dtype not in DTYPES:
        found.append(f"dtype {dtype} is not one of {', '.join(DTYPES)}")
    if tensor.device.type == "meta":
        found.append("it is on the meta device and has no memory; call model.to_empty(device=…) first")
    if tensor.is_inference():
        found.append("it was made under torch.inference_mode() and cannot be changed in place; build the model outside")
    return found
