"""What a diagnosis looks at in PyTorch alone; every other adapter has this in its place."""

from __future__ import annotations

from typing import Any, NoReturn

from fanin.errors import BadInput


def training(model: Any, optimizer: Any) -> NoReturn:
    """The first step of an optimizer is not looked at.

    Raises:
        BadInput: always.
    """
    raise BadInput(
        f"optimizer= is for PyTorch's optimizers; got {type(optimizer).__name__}. Leave it out: the size of the first "
        "step is not judged then."
    )
