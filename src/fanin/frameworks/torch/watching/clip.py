"""Gradients of a PyTorch model made smaller before the update; nothing waits for the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

import torch

from fanin.errors import BadInput
from fanin.frameworks.torch.model.names import checked_parameters, naming
from fanin.frameworks.torch.model.shards import is_sharded, local_of
from fanin.signals.clipped import Clipped

SMALLEST: Final = 1e-3  # of a unit's weights, so that those that start at 0 can move: ε of Brock et al. 2021
_TRANSPOSED: Final = "_ConvTransposeNd"

Gradients = Mapping[str, tuple[torch.Tensor, torch.Tensor]]
"""Path → a parameter and its gradient."""


@torch.no_grad()
def clip_(model: torch.nn.Module, how: str, threshold: float, skip: Sequence[str] = ()) -> Clipped:
    """In place, by `how`: norm, value, or adaptive.

    Raises:
        BadInput: not a module, a gradient is sparse, or a glob in `skip` matches no parameter.
    """
    paths = {path: tensor for path, (tensor, _) in checked_parameters(model).items()}
    if unknown := [glob for glob in skip if not any(fnmatchcase(path, glob) for path in paths)]:
        raise BadInput(f"skip={unknown[0]!r} matches no parameter. There are {', '.join(list(paths)[:5])}, and so on.")
    held = {
        path: (tensor, tensor.grad)
        for path, tensor in paths.items()
        if tensor.grad is not None and not any(fnmatchcase(path, glob) for glob in skip)
    }
    if sparse := [path for path, (_, gradient) in held.items() if gradient.is_sparse]:
        raise BadInput(
            f"The gradient of {sparse[0]} is sparse and cannot be clipped with the others. Build its embedding with "
            f"sparse=False, or leave it out: skip={sparse[0]!r}."
        )
    norm = _norm(held)
    HOW[how](model, held, threshold, norm)
    return Clipped(norm, norm > threshold if how == "norm" else _norm(held) < norm)


def _norm(held: Gradients) -> torch.Tensor:
    """Of all together; of a sharded model, the same on every process."""
    norm = torch.nn.utils.get_total_norm([gradient for _, gradient in held.values()])
    gather: Any = getattr(norm, "full_tensor", None)
    found: torch.Tensor = gather() if gather else norm
    return found


def _by_norm(model: torch.nn.Module, held: Gradients, threshold: float, norm: torch.Tensor) -> None:
    """Bit for bit what `torch.nn.utils.clip_grad_norm_` does."""
    torch.nn.utils.clip_grads_with_norm_([tensor for tensor, _ in held.values()], threshold, norm)


def _by_value(model: torch.nn.Module, held: Gradients, threshold: float, norm: torch.Tensor) -> None:
    torch.nn.utils.clip_grad_value_([tensor for tensor, _ in held.values()], threshold)


def _adaptively(model: torch.nn.Module, held: Gradients, threshold: float, norm: torch.Tensor) -> None:
    """‖G_i‖ of a unit at most λ ‖W_i‖; its weights are a row, whatever further axes they have."""
    transposed = set(_transposed(model))
    for path, (tensor, gradient) in held.items():
        axis = None if tensor.dim() < 2 else int(path in transposed)  # all of a bias or a scale is one unit
        allowed = threshold * _sizes(tensor, axis).clamp_(min=SMALLEST)
        size = _sizes(gradient, axis)
        local_of(gradient).mul_(torch.where(size > allowed, allowed / size, 1.0))


def _sizes(x: Any, axis: int | None) -> torch.Tensor:
    """Norms of the units along an axis, which is kept; of those that this process holds a part of, the whole norm."""
    others = None if axis is None else tuple(i for i in range(x.dim()) if i != axis)
    norms: Any = torch.linalg.vector_norm(x, dim=others, keepdim=True)
    if not is_sharded(norms):
        return local_of(norms)
    from torch.distributed.tensor import Replicate

    kept = [p if axis is not None and p.is_shard(axis) else Replicate() for p in x.placements]
    return local_of(norms.redistribute(placements=kept))


def _transposed(model: torch.nn.Module) -> Iterator[str]:
    """Weights whose units lie along axis 1."""
    path_of = naming(model)
    for path, module in model.named_modules():
        if any(base.__name__ == _TRANSPOSED for base in type(module).__mro__) and getattr(module, "groups", 1) == 1:
            yield path_of(f"{path}.weight" if path else "weight")


HOW: Final[Mapping[str, Callable[[torch.nn.Module, Gradients, float, torch.Tensor], None]]] = {
    "norm": _by_norm,
    "value": _by_value,
    "adaptive": _adaptively,
}
