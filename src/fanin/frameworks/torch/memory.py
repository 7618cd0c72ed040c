"""Parameters that lie on each other in memory, so that writing one would change another."""

from __future__ import annotations

import torch


def shared_memory(tensors: dict[str, torch.Tensor]) -> list[str]:
    """One line for each tensor of which an element is also an element of an earlier one, or twice of itself.

    Tied parameters, one tensor under two names, are not among them: they are listed once. Nor are parameters that lie
    side by side in one buffer, as those of a flattened LSTM do.
    """
    stores: dict[int, dict[str, torch.Tensor]] = {}
    for path, tensor in tensors.items():
        if _has_memory(tensor):
            stores.setdefault(tensor.untyped_storage().data_ptr(), {})[path] = tensor
    return [line for held in stores.values() for line in _collisions(held)]


def _has_memory(tensor: torch.Tensor) -> bool:
    return not (torch.nn.parameter.is_lazy(tensor) or tensor.is_meta) and tensor.numel() > 0


def _collisions(held: dict[str, torch.Tensor]) -> list[str]:
    if len(held) == 1 and all(t.is_contiguous() for t in held.values()):
        return []
    found: list[str] = []
    taken: dict[str, torch.Tensor] = {}
    for path, tensor in held.items():
        own = _addresses(tensor)
        if own.numel() < tensor.numel():
            found.append(f"{path}: several of its elements are one place in memory; make it contiguous")
        for other, addresses in taken.items():
            if torch.isin(own, addresses, assume_unique=True).any():
                found.append(f"{path}: it shares memory with {other}; tie them by assigning one Parameter to both")
        taken[path] = own
    return found


def _addresses(tensor: torch.Tensor) -> torch.Tensor:
    """Where its elements begin, in bytes, each place once."""
    places = torch.full(tensor.shape, int(tensor.storage_offset()), dtype=torch.int64)
    for axis, (n, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        places += (torch.arange(n) * stride).reshape(-1, *[1] * (tensor.dim() - 1 - axis))
    found: torch.Tensor = torch.unique(places * tensor.element_size())
    return found
