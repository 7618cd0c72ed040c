"""A model's own code that gives its buffers their values: the methods by which libraries do that.

PyTorch has no one name for it. Each module that owns a buffer without a value is asked, by these names in this order,
until all its buffers have one; then the innermost model around it that has `_init_weights(module)`, as those of
Hugging Face do.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final, cast

import torch

from fanin.frameworks.torch.model.allocate import Fresh, Place
from fanin.frameworks.torch.model.poison import poison_, poisoned

METHODS: Final = (
    "reset_buffers",
    "init_buffers",
    "init_non_persistent_buffers",  # timm
    "_init_buffers",  # timm, for those that are saved as well
    "reset_running_stats",  # PyTorch's norms
    "reset_parameters",
    "init_weights",  # torchtitan
)
AROUND: Final = "_init_weights"


def ask_modules(model: torch.nn.Module, fresh: list[Fresh], spared: Collection[str]) -> dict[str, str]:
    """Call them where they are needed; what they leave unsaid stays poisoned.

    What had a value before keeps it. A parameter without one is left without: the plan gives it its value, or keeps
    what the constructor of the whole model made of it, which a method of one module does not know.

    Args:
        spared: paths of tensors whose value comes from elsewhere.

    Returns:
        Path → why it still has no value, where a method failed.
    """
    chains = dict(_chains(model))
    found: dict[str, str] = {}
    without = [t for t in fresh if t.path not in spared and poisoned(t.real)]
    buffers = [t for t in without if not isinstance(t.real, torch.nn.Parameter)]
    for module, chain in chains.items():
        own = [t for t in buffers if any(p.module is module for p in t.places)]
        for name, method in _methods(module, chain):
            waiting = [t for t in own if poisoned(t.real)]
            if not waiting:
                break
            for complaint in _call(method, name, module, fresh):
                found |= {t.path: complaint for t in waiting if poisoned(t.real)}
    for tensor in without:
        if tensor not in buffers:
            poison_(tensor.real)
    return found


def _chains(model: torch.nn.Module) -> Iterator[tuple[torch.nn.Module, list[torch.nn.Module]]]:
    """Each module with those around it, the innermost first."""
    modules = dict(model.named_modules())
    for path, module in modules.items():
        segments = path.split(".") if path else []
        above = [".".join(segments[:n]) for n in reversed(range(len(segments)))]
        yield module, [module, *(modules[p] for p in above)]


def _methods(module: torch.nn.Module, chain: list[torch.nn.Module]) -> Iterator[tuple[str, Callable[[], Any]]]:
    for name in METHODS:
        method = getattr(module, name, None)
        if callable(method) and _takes(method):
            yield f"{name}()", method
    for outer in chain:
        method = getattr(outer, AROUND, None)
        if callable(method) and _takes(method, module):
            yield f"{AROUND}(module)", lambda method=method: method(module)  # type: ignore[misc]
            return


def _takes(method: Callable[..., Any], *arguments: object) -> bool:
    try:
        inspect.signature(method).bind(*arguments)
    except (TypeError, ValueError):
        return False
    return True


def _call(method: Callable[[], Any], name: str, module: torch.nn.Module, fresh: list[Fresh]) -> Iterator[str]:
    """Run it; yield what it did that cannot be used."""
    new = {id(t.real) for t in fresh}
    held = [
        (holder, key, tensor, tensor.detach().clone())
        for inner in module.modules()
        for holder in cast("tuple[dict[str, torch.Tensor | None], ...]", (inner._parameters, inner._buffers))
        for key, tensor in holder.items()
        if tensor is not None and id(tensor) not in new
    ]
    try:
        method()
    except Exception as error:  # noqa: BLE001  # whatever the user's code raises becomes a line of our error
        yield f"its {name} raised {type(error).__name__}: {error}"
    finally:
        for holder, key, tensor, before in held:
            tensor.copy_(before)
            holder[key] = tensor
    for one in fresh:
        for place in one.places:
            if (complaint := _adopt(one, place)) is not None:
                yield f"its {name} {complaint}"


def _adopt(fresh: Fresh, place: Place) -> str | None:
    """A method may have put a new tensor there: take its value, and keep the tensor that is tied, and of the dtype."""
    assigned = place.holder.get(place.name)
    if assigned is fresh.real:
        return None
    place.holder[place.name] = fresh.real
    if not isinstance(assigned, torch.Tensor) or assigned.is_meta:
        return f"left {'nothing' if assigned is None else 'a tensor on the meta device'} there"
    if assigned.shape != fresh.real.shape:
        return f"made shape {tuple(assigned.shape)}, where the model has {tuple(fresh.real.shape)}"
    fresh.real.copy_(assigned)
    return None
