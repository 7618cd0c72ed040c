"""The program, run node by node; of all that flows in it sums are kept, and no tensor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import torch
from torch.autograd.graph import GradientEdge
from torch.fx.node import Node as FxNode

from fanin.errors import ShapeMismatch
from fanin.frameworks.torch.measuring.closer import Closer
from fanin.frameworks.torch.measuring.later import Later
from fanin.frameworks.torch.measuring.looks import Look, Looks, said
from fanin.frameworks.torch.model.call import Call
from fanin.frameworks.torch.model.failure import CALLS, FITS, first_line, misfit
from fanin.frameworks.torch.tracing.replay import Replay
from fanin.frameworks.torch.tracing.same_elements import same_elements
from fanin.frameworks.torch.tracing.trace import Traced, innermost_module
from fanin.signals import Moments
from fanin.signals.summary import bounds_of

# Memory that nothing has been written to: whatever it happens to hold says nothing of the model.
UNWRITTEN: Final = frozenset(
    {"empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided"}
)
KEPT: Final = 1 << 24  # bytes of gradients that may stay until the backward pass is done


class Recorder(Replay):
    """Runs the program node by node; keeps sums, not tensors, and reads none of them."""

    def __init__(self, traced: Traced, model: torch.nn.Module, call: Call, looks: Looks, closer: Closer | None) -> None:
        super().__init__(traced)
        self._looks, self._closer = looks, closer
        self.values: dict[str, Look] = {}  # of every node
        self.gradients: dict[str, Look] = {}  # of every node that a gradient arrived at
        self.edges: dict[str, GradientEdge] = {}  # nodes whose gradients are to be asked for beside the parameters'
        self._kept = 0  # bytes of these gradients
        self._rearranged: set[str] = set()  # of these, no activation made the elements
        self._bounds = bounds_of(traced.graph)
        self._recorded = traced.graph.by_name
        self._sources: dict[str, str] = {}  # node → another of which it has the elements
        self._gradient_of: dict[str, str] = {}  # node → another with the same gradient, which arrives there before
        for fx in traced.program.graph.nodes:
            if fx.name in self._recorded:
                self._sources[fx.name], gradient_of = same_elements(fx, self._recorded)
                self._gradient_of |= gradient_of
        self._next: dict[str, list[str]] = {}  # where the gradient of a node arrives as it is
        for later, earlier in self._gradient_of.items():
            self._next.setdefault(earlier, []).append(later)
        self._traced, self._model, self._call = traced, model, call

    def run_node(self, fx: FxNode) -> Any:
        """One node, and a look at its value; its gradient is waited for."""
        name, closer = fx.name, self._closer
        try:
            if closer and name in closer.attentions:  # its scores, before they are gone
                closer.attends(name, self.read(fx.args), self.read(fx.kwargs))
            result = super().run_node(fx)
        except CALLS as error:
            if FITS.search(first_line(error)):
                raise self._explained(fx, error) from error
            raise
        tensor = result[0] if isinstance(result, (tuple, list)) and result else result
        node = self._recorded.get(self._sources.get(name) or name)  # whose elements they are
        if node and node.op not in UNWRITTEN and isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
            self._see_value(name, tensor)
            if tensor.requires_grad and name not in self._gradient_of:
                self._expect_gradient(name, tensor)
        return result

    def _explained(self, fx: FxNode, error: Exception) -> ShapeMismatch:
        """What only values show, such as an index that is too large."""
        path, _ = innermost_module(fx)
        stored = self._traced.graph.by_path
        inputs = [self.env[i] for i in fx.all_input_nodes if self._traced.names.get(i.name) not in stored]
        cause = first_line(error)
        if "out of range" in cause and inputs and not inputs[0].is_floating_point():
            cause += f": the values go from {int(inputs[0].min())} to {int(inputs[0].max())}"
        source = self._recorded[fx.name].source if fx.name in self._recorded else ""
        layer = dict(self._model.named_modules())[path]
        return misfit(path, layer, tuple(inputs), self._call, f"{cause}{f', at {source}' if source else ''}")

    def waiting(self) -> list[Later]:
        """What `read` must have read before anything is asked of the looks."""
        return [one for look in (*self.values.values(), *self.gradients.values()) for one in look.waiting()]

    def moments(self) -> tuple[dict[str, Moments], dict[str, Moments]]:
        """Of values, and of gradients."""
        values = said(self.values, Look.moments)
        bounded = [name for name in self._rearranged if self.values[name].sums.near]
        values |= {name: self.values[name].moments(saturated=False) for name in bounded}
        return values, said(self.gradients, Look.moments)

    def _see_value(self, name: str, x: torch.Tensor) -> None:
        source, closer = self._sources[name], self._closer
        if source in self.values:
            self.values[name] = self.values[source]
            self._rearranged.add(name)
        else:
            axes = closer.axes_of(name, x) if closer else None
            self.values[name] = self._looks.at(x, self._bounds.get(name), closely=closer is not None, axes=axes)
        if closer:
            closer.classify(name, x)

    def see_edges(self, found: Sequence[torch.Tensor | None]) -> None:
        """The gradients of `edges`, None where none arrives."""
        for name, gradient in zip(reversed(self.edges), reversed(found), strict=True):  # in the order of their arrival
            if gradient is not None:
                self._see_gradient(name, gradient)

    def _expect_gradient(self, name: str, x: torch.Tensor) -> None:
        """Some are asked for; for others, which would hold memory, a hook of the operation that made them waits.

        A hook is called between operations, when little of what it needs is in the caches: it takes as long as an
        operation on a small tensor.
        """
        if x.grad_fn is None:
            x.register_hook(partial(self._see_gradient, name))  # type: ignore[no-untyped-call]
        elif self._kept + x.nbytes <= KEPT:
            self._kept += x.nbytes
            self.edges[name] = GradientEdge(x.grad_fn, x.output_nr)
        else:
            x.grad_fn.register_prehook(partial(self._see_gradients, name, x.output_nr))

    def _see_gradients(self, name: str, result: int, gradients: tuple[torch.Tensor | None, ...]) -> None:
        if (gradient := gradients[result]) is not None:
            self._see_gradient(name, gradient)

    def _see_gradient(self, name: str, gradient: torch.Tensor) -> None:
        """Of a node, and of those that it arrives at later as it is."""
        look = self._looks.at(gradient, closely=self._closer is not None)
        arrives = [name]
        while arrives:
            self.gradients[node := arrives.pop()] = look
            arrives += self._next.get(node, ())
