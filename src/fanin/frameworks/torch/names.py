"""Logical names: the path of a parameter with the segments of wrappers taken out."""

from __future__ import annotations

from typing import Final

import torch

WRAPPERS: Final = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "module.")


def logical(path: str) -> str:
    """The name that does not depend on torch.compile, FSDP, checkpointing or DDP.

    Only whole segments count: a submodule of the user's that happens to be called "module" below the top is his own.

    Example:
        >>> logical("_orig_mod.module.layers.0.weight")
        'layers.0.weight'
    """
    if path.startswith("module."):
        path = path.removeprefix("module.")
    for wrapper in WRAPPERS[:3]:
        path = path.replace(wrapper, "")
    return path.removeprefix("module.")


def named_parameters(model: torch.nn.Module) -> dict[str, tuple[torch.nn.Parameter, tuple[str, ...]]]:
    """Each parameter once, under its first logical name, with its further names (tied weights)."""
    names: dict[int, list[str]] = {}
    tensors: dict[int, torch.nn.Parameter] = {}
    for path, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(logical(path))
        tensors[id(parameter)] = parameter
    return {found[0]: (tensors[i], tuple(found[1:])) for i, found in names.items()}
