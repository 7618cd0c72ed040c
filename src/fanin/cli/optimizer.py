"""An optimizer as people name one on a command line: `adamw(lr=0.001)`."""

from __future__ import annotations

from typing import Any

from fanin.call import bind
from fanin.errors import BadInput


def load_optimizer(text: str | None, model: Any) -> Any:
    """One of torch.optim, by its name in any case, for the model's parameters; None where none is named.

    Raises:
        UnknownName: torch.optim has none of that name.
        BadInput: it does not take those arguments.
    """
    if text is None:
        return None
    import torch

    kinds = {
        name.lower(): kind
        for name, kind in vars(torch.optim).items()
        if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
    }
    name, bracket, arguments = text.partition("(")
    make = bind("optimizer", name.strip().lower() + bracket + arguments, kinds)
    try:
        return make(model.parameters())
    except (TypeError, ValueError) as error:  # what PyTorch says of values that it does not take
        raise BadInput(f"--optimizer {text}: {error}. Name one as adamw(lr=0.001).") from error
