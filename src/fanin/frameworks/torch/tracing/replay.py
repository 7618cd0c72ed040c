"""The recorded program, run again node by node."""

from __future__ import annotations

from typing import Any, Final

import torch

from fanin.frameworks.torch.tracing.trace import Traced

LAID_OUT: Final = (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default)  # fail unless strides allow it


class Replay(torch.fx.Interpreter):
    """As it was recorded, whatever layout results have here: kernels may lay them out otherwise than was recorded."""

    def __init__(self, traced: Traced) -> None:
        super().__init__(traced.program.graph_module)
        self.extra_traceback = False  # errors are explained by who runs it

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One operation; views as reshapes, and a tensor of its own where it hands back what it was given.

        The gradient of a result is that of what reads it, and not of all that reads the same memory.
        """
        made = torch.reshape(*args, **kwargs) if target in LAID_OUT else super().call_function(target, args, kwargs)
        return made.view_as(made) if args and made is args[0] else made
