"""Real tensors in the places of those on the meta device, tied and aliased as those were; and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from fanin.frameworks.torch.model.names import naming
from fanin.frameworks.torch.model.poison import poison_


class Place(NamedTuple):
    """Where a module keeps a tensor: `holder[name]`, the holder being its parameters, its buffers or its attributes."""

    path: str
    module: torch.nn.Module
    holder: dict[str, Any]
    name: str

    @property
    def what(self) -> str:
        """Which of the three."""
        if self.holder is self.module._parameters:
            return "parameter"
        return "buffer" if self.holder is self.module._buffers else "attribute"


@dataclass(eq=False)
class Fresh:
    """A tensor on the meta device, the real one that takes its place, and all the places where it is."""

    meta: torch.Tensor
    places: list[Place] = field(default_factory=list)
    real: torch.Tensor = field(init=False)

    @property
    def path(self) -> str:
        """Its first name."""
        return self.places[0].path

    def put(self, tensor: torch.Tensor) -> None:
        """Into every place, so that what was tied stays tied."""
        for place in self.places:
            place.holder[place.name] = tensor


def on_meta_device(model: torch.nn.Module) -> list[Fresh]:
    """Each tensor of the model that has no memory, once: parameters, buffers, and plain attributes of modules.

    An attribute that was computed from parameters, as the weight of `weight_norm` is, is not among them: what computed
    it will do so again.
    """
    found: dict[int, Fresh] = {}
    for path, module, holder in _holders(model):
        for name, tensor in holder.items():
            if isinstance(tensor, torch.Tensor) and tensor.is_meta and tensor.is_leaf:
                place = Place(f"{path}.{name}" if path else name, module, holder, name)
                found.setdefault(id(tensor), Fresh(tensor)).places.append(place)
    logical = naming(model)
    for fresh in found.values():
        fresh.places = [place._replace(path=logical(place.path)) for place in fresh.places]
    return list(found.values())


def allocate(tensors: list[Fresh], device: torch.device | None) -> None:
    """Give each its memory, poisoned, and put it into its places.

    Device None is the mesh's for a sharded tensor, and PyTorch's default for any other. Tensors that were views of one
    memory are again. Parameters are new objects, as after `to_empty`.
    """
    owners: dict[int, list[Fresh]] = {}
    for fresh in tensors:
        owners.setdefault(storage(fresh.meta) if not is_sharded(fresh.meta) else -id(fresh), []).append(fresh)
    for together in owners.values():
        memory = _one_memory(together, device) if len(together) > 1 else None
        for fresh in together:
            fresh.real = _twin(fresh.meta, memory, device)
            poison_(fresh.real)
            fresh.put(fresh.real)


def settle(model: torch.nn.Module) -> None:
    """Tell modules that keep books of their own on their parameters, as LSTMs and FSDP do, that these have changed."""
    for module in model.modules():
        if type(module)._apply is not torch.nn.Module._apply:
            module._apply(lambda tensor: tensor, recurse=False)  # type: ignore[no-untyped-call]


def storage(tensor: torch.Tensor) -> int:
    """What two tensors have in common if one is a view of the other, on the meta device too."""
    return int(tensor.untyped_storage()._cdata)


def is_sharded(tensor: torch.Tensor) -> bool:
    """Whether this process holds a part of it only."""
    return hasattr(tensor, "to_local")


def _holders(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module, dict[str, Any]]]:
    modules = list(model.named_modules())
    for registry in ("_parameters", "_buffers", "__dict__"):  # a tensor is called by the most telling of its names
        for path, module in modules:
            yield path, module, getattr(module, registry)


def _one_memory(together: list[Fresh], device: torch.device | None) -> torch.UntypedStorage:
    size = together[0].meta.untyped_storage().nbytes()
    return torch.empty(size, dtype=torch.uint8, device=_device(together[0].meta, device)).untyped_storage()


def _twin(meta: torch.Tensor, memory: torch.UntypedStorage | None, device: torch.device | None) -> torch.Tensor:
    with torch.no_grad():
        where = _device(meta, device)
        if memory is None:
            real = torch.empty_like(meta, device=where)
        else:
            real = torch.empty(0, dtype=meta.dtype, device=where)
            real.set_(memory, meta.storage_offset(), meta.size(), meta.stride())
    if isinstance(meta, torch.nn.Parameter):
        real = torch.nn.Parameter(real, requires_grad=meta.requires_grad)
        if type(real) is not type(meta):
            real.__class__ = type(meta)
    elif meta.requires_grad:
        real.requires_grad_()
    vars(real).update(vars(meta))  # marks that users and libraries leave on parameters
    return real


def _device(meta: torch.Tensor, device: torch.device | None) -> torch.device:
    if device is not None:
        return device
    mesh = getattr(meta, "device_mesh", None)
    return torch.device(mesh.device_type) if mesh is not None else torch.get_default_device()
