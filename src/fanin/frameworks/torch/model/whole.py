"""A distributed model seen as the one that it was made of: whole parameters, and no hooks that gather or scatter."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import torch

from fanin.frameworks.torch.model.shards import is_sharded
from fanin.frameworks.torch.model.state import undisturbed

_DDP: Final = ("torch.nn.parallel.distributed", "DistributedDataParallel")
_COMPILED: Final = ("torch._dynamo.eval_frame", "OptimizedModule")
_HOOKS: Final = ("_forward_pre_hooks", "_forward_hooks")


def unwrapped(model: torch.nn.Module) -> torch.nn.Module:
    """What DistributedDataParallel and torch.compile wrap, in any order.

    DDP's own forward pass cannot be traced, and that of a compiled module has been already; neither computes anything
    else.
    """
    while (inner := _wrapped(model)) is not None:
        model = inner
    return model


def uncompiled(path: str, module: torch.nn.Module) -> tuple[str, torch.nn.Module]:
    """The module that torch.compile wraps, if it does, and its path."""
    while is_a(module, *_COMPILED):
        path, module = (f"{path}._orig_mod" if path else "_orig_mod"), module.get_submodule("_orig_mod")
    return path, module


def is_distributed(model: torch.nn.Module) -> bool:
    """Whether other processes hold parts or copies of it: a parameter is a DTensor, or a module is DDP's."""
    return any_sharded(model) or any(is_a(module, *_DDP) for module in model.modules())


def _wrapped(model: torch.nn.Module) -> torch.nn.Module | None:
    if is_a(model, *_DDP):
        return model.get_submodule("module")
    return model.get_submodule("_orig_mod") if is_a(model, *_COMPILED) else None


def is_a(module: torch.nn.Module, package: str, name: str) -> bool:
    """`isinstance` without importing the package: if nobody did, nothing is an instance."""
    kind = getattr(sys.modules.get(package), name, None)
    return kind is not None and isinstance(module, kind)


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


def has_values(model: torch.nn.Module) -> bool:
    """Whether every parameter has memory; those on the meta device have none."""
    return not any(p.is_meta for p in model.parameters())
