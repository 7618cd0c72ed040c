"""On which device a model and its batch are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from fanin.errors import BadInput


def require_one_device(model: torch.nn.Module, values: Sequence[Any]) -> None:
    """What the model is called with is where the model is. Numbers may be anywhere, and so may a model's parts.

    Raises:
        BadInput: it is elsewhere.
    """
    homes = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
    if len(homes) != 1:
        return
    (home,) = homes
    for x in values:
        if isinstance(x, torch.Tensor) and x.dim() and x.device != home and "meta" not in (x.device.type, home.type):
            raise BadInput(
                f"The model is on {home} and the batch, a tensor of shape {tuple(x.shape)}, on {x.device}. "
                f"Move one of them: x.to({str(home)!r}), or model.to({str(x.device)!r})."
            )
