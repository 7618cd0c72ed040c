"""A distributed model seen as the one that it was made of: whole parameters, and no hooks that gather or scatter."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import torch

from fanin.frameworks.torch.shards import is_sharded
from fanin.frameworks.torch.state import undisturbed

_HOOKS: Final = ("_forward_pre_hooks", "_forward_hooks")


def unwrapped(model: torch.nn.Module) -> torch.nn.Module:
    """What DistributedDataParallel wraps: its own forward pass cannot be traced, and computes nothing else."""
    module = sys.modules.get("torch.nn.parallel.distributed")
    if module is not None and isinstance(model, module.DistributedDataParallel):
        inner: torch.nn.Module = model.module
        return inner
    return model


def any_sharded(model: torch.nn.Module) -> bool:
    """Whether a parameter is a DTensor."""
    return any(is_sharded(p) for p in model.parameters())


@contextmanager
def whole(model: torch.nn.Module) -> Iterator[None]:
    """While it lasts, each parameter is one of its whole shape on the meta device, and so are the buffers.

    For a look at shapes alone: no memory is taken and nothing is sent. Afterwards the model is as it was.
    """
    classes = {module: type(module) for module in model.modules()}
    whole_of: dict[int, Any] = {}
    with undisturbed(model):
        try:
            for module in classes:
                for registry in (module._parameters, module._buffers):
                    for name, tensor in registry.items():
                        if tensor is not None:
                            registry[name] = whole_of.setdefault(id(tensor), _meta(tensor))
                for name in _HOOKS:
                    hooks = module.__dict__[name]
                    module.__dict__[name] = type(hooks)((i, h) for i, h in hooks.items() if not _distributes(h))
                module.__class__ = _undistributed(type(module))
            yield
        finally:
            for module, its in classes.items():
                module.__class__ = its


def _meta(tensor: torch.Tensor) -> torch.Tensor:
    empty = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(empty, requires_grad=tensor.requires_grad)
    return empty


def _distributes(hook: Any) -> bool:
    """One of FSDP2 or of tensor parallelism, not the user's own."""
    function = hook.func if isinstance(hook, partial) else hook
    return str(getattr(function, "__module__", "")).startswith("torch.distributed.")


def _undistributed(kind: type[torch.nn.Module]) -> type[torch.nn.Module]:
    """The class that `fully_shard` derived this one from."""
    bases = kind.__bases__
    fsdp = bases[0].__module__.startswith("torch.distributed.fsdp") and len(bases) == 2
    return bases[1] if fsdp else kind
