"""What a diagnosis looks at in PyTorch alone; every other adapter has these in its place."""

from __future__ import annotations

from typing import Any, NoReturn

from fanin.errors import BadInput
from fanin.signals import Signals
from fanin.signals.circumstances import Chance


def stake(traced: Any, model: Any, loss: Any) -> None:
    """What the loss is worth by chance is not looked for."""


def chance(found: None, signals: Signals) -> Chance | None:
    """See `stake`."""


def training(model: Any, optimizer: Any) -> NoReturn:
    """The first step of an optimizer is not looked at.

    Raises:
        BadInput: always.
    """
    raise BadInput(
        f"optimizer= is for PyTorch's optimizers; got {type(optimizer).__name__}. Leave it out: the size of the first "
        "step is not judged then."
    )
