"""From what the caller gives, one batch or a loader of them, to calls of the model with a loss for each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

import torch
from torch.utils._pytree import tree_leaves

from fanin.errors import BadInput
from fanin.frameworks.measured import name_of, takes_target
from fanin.frameworks.torch.measuring.inputs import require_finite
from fanin.frameworks.torch.measuring.scalar import Loss
from fanin.frameworks.torch.model.layer import given
from fanin.frameworks.torch.model.state import unchanged_randomness
from fanin.frameworks.torch.model.whole import unwrapped

TARGETS: Final = ("labels", "label", "targets", "target")  # keys of a batch that is a mapping
_TRIED: Final = 4  # times as many batches as are wanted are looked at for those of the first one's shapes


class Batch(NamedTuple):
    """The arguments of one call, and the loss of what it returns."""

    example: tuple[Any, ...]
    loss: Loss | None


class OfTarget:
    """A loss of output and target as one of the output."""

    def __init__(self, loss: Callable[..., Any], target: Any) -> None:
        self.loss, self.target = loss, target
        self.__name__ = name_of(loss)

    def __call__(self, output: Any) -> Any:
        """The user's loss."""
        return self.loss(output, self.target)


def batches_of(
    model: torch.nn.Module, example: tuple[Any, ...], loss: Callable[..., Any] | None, count: int
) -> tuple[Batch, ...]:
    """One batch from the example itself, or the first few of the loader that it is.

    Where the loss takes an output and a target, the target is the batch's last element, or what a mapping has under
    "labels", "label", "targets" or "target", and the model is called with the rest. Else what the model takes no
    argument for is left out. Later batches of other shapes than the first one's are passed over.

    Raises:
        BadInput: an iterator, which can be read only once; a loader that gives nothing; no target where the loss needs
            one, or a target that holds NaN.
    """
    if not isinstance(model, torch.nn.Module):
        raise BadInput(f"Expected a torch.nn.Module; got {type(model).__name__}.")
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise BadInput(f"batches is how many batches of the loader to look at, 1 or more; got {count!r}.")
    if len(example) != 1 or not _is_loader(example[0]):
        return (_with_target(example, loss) if loss and _takes_target(loss) else Batch(example, loss),)
    with unchanged_randomness():  # a loader that shuffles draws its order
        return tuple(_first(model, example[0], loss, count))


def _first(model: torch.nn.Module, loader: Any, loss: Callable[..., Any] | None, count: int) -> list[Batch]:
    found: list[Batch] = []
    shapes = ""
    for batch in islice(loader, _TRIED * count):
        one = _batch(unwrapped(model), batch, loss)
        here = given(tree_leaves(one.example))
        if not found or here == shapes:
            found.append(one)
            shapes = here
        if len(found) == count:
            break
    if not found:
        raise BadInput(f"The {type(loader).__name__} gave no batch: is its data set empty, or smaller than one batch?")
    return found


def _is_loader(x: Any) -> bool:
    """Something to iterate over that is no batch itself: those are tensors, mappings, or know how to move to a device.

    A list counts where each of its elements is a batch of several parts.
    """
    if isinstance(x, list):
        return bool(x) and all(isinstance(part, (tuple, list, Mapping)) and part for part in x)
    if isinstance(x, (torch.Tensor, Mapping, tuple, str, bytes)) or not hasattr(x, "__iter__") or hasattr(x, "to"):
        return False
    if type(x).__module__.partition(".")[0] == "numpy":
        return False
    if hasattr(x, "__next__"):
        raise BadInput(
            f"Got an iterator, {type(x).__name__}, which can be read only once: your own loop would miss what is "
            "looked at here. Give the loader itself, diagnose(model, loader), or one batch of it."
        )
    return True


def _batch(model: torch.nn.Module, batch: Any, loss: Callable[..., Any] | None) -> Batch:
    example = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
    if loss is not None and _takes_target(loss):
        return _with_target(example, loss)
    return Batch(_taken(model, example), loss)


def _with_target(example: tuple[Any, ...], loss: Callable[..., Any]) -> Batch:
    last = example[-1] if example else None
    if isinstance(last, Mapping):
        key = next((key for key in TARGETS if key in last), None)
        if key is None:
            raise BadInput(
                f"The loss, {name_of(loss)}, takes an output and a target, and the batch has none of the keys "
                f"{', '.join(map(repr, TARGETS))}: it has {', '.join(map(repr, last))}. Rename the one that is the "
                "target, or give a loss of the output alone."
            )
        rest = {name: value for name, value in last.items() if name != key}
        return _bound((*example[:-1], *((rest,) if rest else ())), loss, last[key])
    if len(example) < 2:
        raise BadInput(
            f"The loss, {name_of(loss)}, takes an output and a target, and the batch is {given(list(example))} alone. "
            "Give the target as the last of the batch, diagnose(model, x, y, loss=…), or a loss of the output alone, "
            "loss=lambda out: …(out, y)."
        )
    return _bound(example[:-1], loss, last)


def _bound(example: tuple[Any, ...], loss: Callable[..., Any], target: Any) -> Batch:
    for x in tree_leaves(target):
        if isinstance(x, torch.Tensor) and x.is_floating_point() and not x.is_meta:
            require_finite(x.detach(), "The target")
    return Batch(example, OfTarget(loss, target))


def _takes_target(loss: Callable[..., Any]) -> bool:
    """Whether a call needs two values, an output and a target."""
    return takes_target(loss.forward if isinstance(loss, torch.nn.Module) else loss)


def _taken(model: torch.nn.Module, example: tuple[Any, ...]) -> tuple[Any, ...]:
    """As much of a batch as the model has arguments for."""
    parameters = list(inspect.signature(model.forward).parameters.values())
    kinds = inspect.Parameter
    positional = [p for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    if any(p.kind is kinds.VAR_POSITIONAL for p in parameters):
        return example
    if len(example) == 1 and isinstance(example[0], Mapping):
        named = {p.name for p in parameters if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)}
        known = {key: value for key, value in example[0].items() if key in named}
        passes_on = any(p.kind is kinds.VAR_KEYWORD for p in parameters)
        return (known,) if known and not passes_on else example
    return example[: len(positional)] or example
