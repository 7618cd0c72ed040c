"""What a call must give back as it found it: mode, gradients, buffers and random state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def undisturbed(model: torch.nn.Module) -> Iterator[None]:
    """Run a block that may not leave a trace: each module's mode and the generators' state are restored in any case."""
    modes = {module: module.training for module in model.modules()}
    devices = sorted({p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training
