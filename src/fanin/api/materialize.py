"""Models too large to build twice: made without memory, then given it with their values."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from fanin.frameworks import ADAPTERS, adapter_of
from fanin.plans import Plan


def on_meta() -> AbstractContextManager[Any]:
    """Build a model without memory: tensors made in the block are on the meta device; how they are made is recorded.

    The recording is for `materialize_(…, recorded=…)`. With it, buffers that a constructor computes (rotary
    frequencies, masks, position indices) and parameters that a plan keeps get their values although the model has no
    code to make them again. What a constructor draws at random for those becomes a function of the seed and of its
    place in the constructor. PyTorch only.

    Example:
        >>> import fanin, torch
        >>> with fanin.on_meta() as recorded:
        ...     net = torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.BatchNorm1d(8))
        >>> net[0].weight.device
        device(type='meta')
    """
    block: AbstractContextManager[Any] = importlib.import_module(ADAPTERS["torch", "Module"]).on_meta()
    return block


def materialize_(
    model: Any,
    plan: Plan,
    *,
    seed: int | None = None,
    device: Any = None,
    buffers: Mapping[str, Any] | None = None,
    recorded: Any = None,
) -> None:
    """Give a model on the meta device its memory and its values: all of it, or nothing if anything fails.

    What is on the meta device is allocated, in the dtypes that it has there; tensors that are real stay where they are.
    A sharded parameter (DTensor) gets this rank's part only. Every parameter is filled as the plan says. Other tensors
    get their value from `buffers`, else from `recorded`, else from the module's own method, whichever it has of
    `reset_buffers`, `init_buffers`, `init_non_persistent_buffers`, `reset_parameters` and a few others, or Hugging
    Face's `_init_weights`. Ties are kept. Parameters are new objects, as after `to_empty`: make the optimizer
    afterwards. PyTorch's, NumPy's and Python's random states are left as they were, but for the seed drawn by None.

    Args:
        plan: for the model, sharded or not; `fanin.plan` makes one without memory.
        seed: as for `initialize_`.
        device: "cuda", "cpu", …. None is the mesh's for sharded tensors, and for others `torch.get_default_device()`.
        buffers: glob over paths → a tensor, a number, or a function of the module that owns the buffer; the last match
            wins. Functions are called when the parameters have their values.
        recorded: what `on_meta` gave.

    Raises:
        StillUninitialized: lists every parameter and buffer that nobody gave a value.
        CannotWrite: the plan and the model disagree, or a parameter cannot be written.
        BadInput: no plan, a bad seed or device, a glob that matches nothing, a value of another shape, lazy layers.

    Example:
        >>> import fanin, torch
        >>> with fanin.on_meta() as recorded:
        ...     net = torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.BatchNorm1d(8))
        >>> fanin.materialize_(net, fanin.plan(net, torch.zeros(2, 64)), seed=0, recorded=recorded)
        >>> net[0].weight.device, net[1].running_var.tolist()
        (device(type='cpu'), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    """
    adapter = adapter_of(model, "materialize_")
    drawn = adapter.draw_seed_for(model) if seed is None else seed
    adapter.materialize_(model, plan, drawn, device=device, buffers=buffers, recorded=recorded)
