"""What a call must give back as it found it: mode, attributes, gradients, buffers and random state."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from operator import is_not
from typing import Any

import numpy as np
import torch

_REGISTRIES = ("_parameters", "_buffers", "_modules")


@contextmanager
def undisturbed(model: torch.nn.Module) -> Iterator[None]:
    """Run a block that may not leave a trace, whatever it raises.

    Each module gets back its attributes (the mode is one), parameters, buffers and children, and PyTorch, NumPy and
    Python their random state. What a forward pass changes inside a list or a dict of its own stays changed.
    """
    before = [
        (module, dict(module.__dict__), [dict(module.__dict__[r]) for r in _REGISTRIES]) for module in model.modules()
    ]
    with unchanged_randomness():
        try:
            yield
        finally:
            for module, attributes, registries in before:
                _restore(module.__dict__, attributes)
                for name, held in zip(_REGISTRIES, registries, strict=True):
                    _restore(module.__dict__[name], held)


@contextmanager
def unchanged_randomness() -> Iterator[None]:
    """PyTorch, NumPy and Python get their random state back, whatever the block draws."""
    python, numpy = random.getstate(), np.random.get_state()  # the user's global one
    with torch.random.fork_rng(devices=_cuda_devices()):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def fixed_randomness(seed: int = 0) -> None:
    """Seed what draws in PyTorch's name; inside `undisturbed` or `unchanged_randomness` only.

    Not `torch.manual_seed`: where CUDA has not started yet, that would seed it for good when it does.
    """
    torch.default_generator.manual_seed(seed)
    for device in _cuda_devices():
        torch.cuda.default_generators[device].manual_seed(seed)


def _cuda_devices() -> range:
    return range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)  # type: ignore[no-untyped-call]


def _restore(place: dict[str, Any], before: dict[str, Any]) -> None:
    """Write only where something changed, so that an untouched module is not touched."""
    changed = len(place) != len(before) or any(map(is_not, place, before))
    if changed or any(map(is_not, place.values(), before.values())):
        place.clear()
        place.update(before)
