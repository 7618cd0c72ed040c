"""The recorded program, run again node by node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any, Final

import torch
from torch.fx.node import Node as FxNode
from torch.fx.node import map_arg

from fanin.frameworks.torch.tracing.trace import Traced


def scattered(x: torch.Tensor, part: torch.Tensor, *where: Any, **also: Any) -> torch.Tensor:
    """`slice_scatter`, which cannot be differentiated where x is complex."""
    made = x.clone()
    torch.ops.aten.slice.Tensor(made, *where, **also).copy_(part)
    return made


def copied(x: torch.Tensor, of: torch.Tensor, *_: Any) -> torch.Tensor:
    """`copy`, likewise: what is copied, in the shape and dtype of x."""
    return of.to(x).expand_as(x).clone()


INSTEAD: Final[Mapping[Any, Callable[..., Any]]] = {
    torch.ops.aten.view.default: torch.reshape,  # which fails unless strides allow it
    torch.ops.aten._unsafe_view.default: torch.reshape,
    torch.ops.aten.slice_scatter.default: scattered,
    torch.ops.aten.copy.default: copied,
}


def of_its_own(made: Any, args: tuple[Any, ...]) -> Any:
    """A tensor of its own, where an operation hands back what it was given: else both would have one gradient."""
    return made.view_as(made) if args and made is args[0] else made


class Replay:
    """As it was recorded, whatever layout results have here: kernels may lay them out otherwise than was recorded.

    A loop in the place of `torch.fx.Interpreter`, which at each node also prepares for its being recorded once more:
    in a net of small operations that takes longer than what is measured.
    """

    def __init__(self, traced: Traced) -> None:
        self._program = traced.program.graph_module
        self._last_uses = traced.last_uses
        self._given: Iterator[Any] = iter(())
        self.env: dict[FxNode, Any] = {}  # what nodes gave that is still to be used

    def run(self, *flat: Any) -> Any:
        """What the program returns, of its flat inputs."""
        self._given = iter(flat)
        result = None
        for fx in self._program.graph.nodes:
            self.env[fx] = result = self.run_node(fx)
            for done in self._last_uses[fx]:
                del self.env[done]
        return result

    def run_node(self, fx: FxNode) -> Any:
        """What one node gives."""
        if fx.op == "placeholder":
            return next(self._given)
        if fx.op == "get_attr":
            return attrgetter(str(fx.target))(self._program)
        if fx.op == "output":
            return self.read(fx.args[0])
        operation: Any = INSTEAD.get(fx.target, fx.target)
        args = self.read(fx.args)
        return of_its_own(operation(*args, **self.read(fx.kwargs)) if fx.kwargs else operation(*args), args)

    def read(self, arguments: Any) -> Any:
        """Values in the place of the nodes that give them."""
        return map_arg(arguments, self.env.__getitem__)
