"""Losses and norms on their way from a device, looked at once they are there."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import torch

from fanin.errors import BadInput
from fanin.frameworks.arriving import Arrived
from fanin.frameworks.torch.model.shards import is_sharded

_MOST: Final = 64  # steps on their way; a host that runs so far ahead of its device waits for the oldest


class _Sent(NamedTuple):
    step: int
    numbers: tuple[float | torch.Tensor | None, ...]
    events: tuple[Any, ...]


class Arriving:
    """`add` the numbers of each step, take what has arrived from `ready`; nothing waits, but for `all`.

    On a CUDA device a number is copied to pinned memory behind the work that makes it, and an event says when it is
    there: a step or two later.
    """

    def __init__(self) -> None:
        self._sent: deque[_Sent] = deque()

    def add(self, step: int, loss: Any, norm: Any = None, clipped: Any = None) -> None:
        """Numbers of Python's, tensors of one element, or None.

        Raises:
            BadInput: anything else.
        """
        numbers = _sent(loss, "loss"), _sent(norm, "gradient norm"), _sent(clipped, "share")
        self._sent.append(_Sent(step, numbers, tuple(_behind(device) for device in _devices(loss, norm, clipped))))

    def ready(self) -> Iterator[Arrived]:
        """Those that have arrived, in order."""
        while self._sent:
            if len(self._sent) <= _MOST and not all(event.query() for event in self._sent[0].events):
                return
            yield self._first()

    def all(self) -> Iterator[Arrived]:
        """The rest, waiting for it."""
        while self._sent:
            yield self._first()

    def _first(self) -> Arrived:
        step, numbers, events = self._sent.popleft()
        for event in events:
            event.synchronize()
        return Arrived(step, *(None if number is None else float(number) for number in numbers))


def _devices(*numbers: Any) -> set[torch.device]:
    return {number.device for number in numbers if isinstance(number, torch.Tensor) and number.is_cuda}


def _behind(device: torch.device) -> Any:
    """An event behind all that this device was given to do."""
    with torch.cuda.device(device):
        event: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
    return event


def _sent(number: Any, name: str) -> float | torch.Tensor | None:
    """On its way in pinned memory, from a CUDA device; here already, from anywhere else."""
    if number is None:
        return None
    if not isinstance(number, torch.Tensor):
        try:
            return float(number)
        except (TypeError, ValueError) as error:
            raise BadInput(
                f"w.step takes a number or a scalar tensor as its {name}; got {type(number).__name__}."
            ) from error
    if number.numel() != 1:
        raise BadInput(
            f"w.step takes a scalar {name}; got a tensor of shape {tuple(number.shape)}. "
            "Reduce it first, as .mean() does."
        )
    if is_sharded(number):  # as clip_grad_norm_ returns it for a sharded model; every process gives its part
        number = number.full_tensor()  # type: ignore[attr-defined]
    held = number.detach().reshape(())
    if not held.is_cuda:
        return float(held)
    return torch.empty((), dtype=held.dtype, pin_memory=True).copy_(held, non_blocking=True)
