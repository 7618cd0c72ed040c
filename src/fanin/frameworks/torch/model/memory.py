"""Parameters that lie on each other in memory, so that writing one would change another."""

from __future__ import annotations

from collections.abc import Mapping

import torch


def shared_memory(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """One line for each tensor of which an element is also an element of an earlier one, or twice of itself.

    Tied parameters, one tensor under two names, are not among them: they are listed once. Nor are parameters that lie
    side by side in one buffer, as those of a flattened LSTM do. Only tensors whose extents cross are looked into
    element by element.
    """
    stores: dict[int, dict[str, torch.Tensor]] = {}
    for path, tensor in tensors.items():
        if _has_memory(tensor):
            stores.setdefault(tensor.untyped_storage().data_ptr(), {})[path] = tensor
    return [line for held in stores.values() for line in _collisions(held)]


def _has_memory(tensor: torch.Tensor) -> bool:
    return not tensor.is_meta and tensor.layout is torch.strided and tensor.numel() > 0


def _collisions(held: Mapping[str, torch.Tensor]) -> list[str]:
    if len(held) == 1 and all(t.is_contiguous() for t in held.values()):
        return []
    found: list[str] = []
    for path, tensor in held.items():
        if _overlaps_itself(tensor):
            found.append(f"{path}: several of its elements are one place in memory; make it contiguous")
    for other, path in _crossing(held):
        if torch.isin(_addresses(held[path]), _addresses(held[other])).any():
            found.append(f"{path}: it shares memory with {other}; tie them by assigning one Parameter to both")
    return found


def _crossing(held: Mapping[str, torch.Tensor]) -> list[tuple[str, str]]:
    """The pairs whose extents cross, each in the order of `held`: a sweep from the lowest byte up."""
    order = {path: i for i, path in enumerate(held)}
    found: list[tuple[str, str]] = []
    reaching: list[tuple[int, str]] = []
    for begin, end, path in sorted((*_extent(tensor), path) for path, tensor in held.items()):
        reaching = [(stop, other) for stop, other in reaching if stop > begin]
        found += [(other, path) if order[other] < order[path] else (path, other) for _, other in reaching]
        reaching.append((end, path))
    return sorted(found, key=lambda pair: (order[pair[1]], order[pair[0]]))


def _extent(tensor: torch.Tensor) -> tuple[int, int]:
    """The bytes of its storage from its first element to the end of its last."""
    first = int(tensor.storage_offset())
    last = first + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return first * tensor.element_size(), (last + 1) * tensor.element_size()


def _overlaps_itself(tensor: torch.Tensor) -> bool:
    """Certainly not if each stride steps over all that the smaller ones reach; if in doubt, the addresses say it."""
    reach = 0
    for stride, n in sorted((stride, n) for n, stride in zip(tensor.shape, tensor.stride(), strict=True) if n > 1):
        if stride <= reach:
            return len(torch.unique(_addresses(tensor))) < tensor.numel()
        reach += (n - 1) * stride
    return False


def _addresses(tensor: torch.Tensor) -> torch.Tensor:
    """Where its elements begin, in bytes."""
    places = torch.full(tensor.shape, int(tensor.storage_offset()), dtype=torch.int64, device="cpu")
    for axis, (n, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        steps = torch.arange(n, device="cpu") * stride
        places += steps.reshape(-1, *[1] * (tensor.dim() - 1 - axis))
    return places * tensor.element_size()
