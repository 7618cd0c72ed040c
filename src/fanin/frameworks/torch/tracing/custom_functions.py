"""Custom `torch.autograd.Function`s: a graph holds what their forward does, and knows nothing of their backward."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import torch

from fanin.frameworks.torch.model.failure import FRAME
from fanin.graph import Graph


class CustomFunctions:
    """All there are, by the lines of their `forward`; PyTorch's own are as they should be."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, int], str] = {}
        for function in _below(torch.autograd.Function):
            code = getattr(inspect.unwrap(function.forward), "__code__", None)
            if code is not None and not function.__module__.startswith("torch."):
                lines = {line for _, _, line in code.co_lines() if line is not None}
                self._names |= {(code.co_filename, line): function.__name__ for line in lines}

    def name(self, stack_trace: str) -> str | None:
        """Of the one in which an operation ran."""
        if not self._names:
            return None
        frames = ((m["file"], int(m["line"])) for m in FRAME.finditer(stack_trace))
        return next((self._names[frame] for frame in frames if frame in self._names), None)


def _below(kind: Any) -> Iterator[Any]:
    for derived in kind.__subclasses__():
        yield derived
        yield from _below(derived)


def unsure_gradients(graph: Graph) -> dict[str, str]:
    """Node or parameter → why its gradient may be wrong: on the way to it lies a function with a rule of its own."""
    found: dict[str, str] = {}
    for node in reversed(graph.nodes):
        why = found.get(node.name) or (f"its gradient passes {node.notes[0]}" if node.notes else "")
        if why:
            found |= {name: found.get(name, why) for name in node.inputs}
    return found
