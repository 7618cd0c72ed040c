"""The program, run node by node; of all that flows in it sums are kept, and no tensor."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import torch
from torch.fx.node import Node as FxNode

from fanin.errors import ShapeMismatch
from fanin.frameworks.torch.measuring.closer import Closer
from fanin.frameworks.torch.measuring.later import Later
from fanin.frameworks.torch.measuring.moments import Sums, sums
from fanin.frameworks.torch.measuring.together import Together, dense
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


class Recorder(Replay):
    """Runs the program node by node; keeps sums, not tensors, and reads none of them."""

    def __init__(
        self, traced: Traced, model: torch.nn.Module, call: Call, small: Together[Sums], closer: Closer | None
    ) -> None:
        super().__init__(traced)
        self._small, self._closer = small, closer
        self._values: dict[str, Sums] = {}
        self._gradients: dict[str, Sums] = {}
        self._rearranged: set[str] = set()  # of these, no activation made the elements
        self._bounds = bounds_of(traced.graph)
        self._gradient_of: dict[str, str] = {}  # node → another with the same gradient, which arrives there before
        self._recorded = traced.graph.by_name
        self._traced, self._model, self._call = traced, model, call

    def run_node(self, n: FxNode) -> Any:
        """One node, and sums over its value; a hook waits for its gradient."""
        self._running = n.name
        try:
            result = super().run_node(n)
        except CALLS as error:
            if FITS.search(first_line(error)):
                raise self._explained(n, error) from error
            raise
        tensor = result[0] if isinstance(result, (tuple, list)) and result else result
        node = self._recorded.get(n.name)
        if node and node.op not in UNWRITTEN and isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
            self._see_value(n, tensor)
            if tensor.requires_grad:
                tensor.register_hook(partial(self._see_gradient, n.name))  # type: ignore[no-untyped-call]
        return result

    def _explained(self, n: FxNode, error: Exception) -> ShapeMismatch:
        """What only values show, such as an index that is too large."""
        path, _ = innermost_module(n)
        stored = self._traced.graph.by_path
        inputs = [self.env[i] for i in n.all_input_nodes if self._traced.names.get(i.name) not in stored]
        cause = first_line(error)
        if "out of range" in cause and inputs and not inputs[0].is_floating_point():
            cause += f": the values go from {int(inputs[0].min())} to {int(inputs[0].max())}"
        source = self._recorded[n.name].source if n.name in self._recorded else ""
        layer = dict(self._model.named_modules())[path]
        return misfit(path, layer, tuple(inputs), self._call, f"{cause}{f', at {source}' if source else ''}")

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One operation; an attention's scores are looked at before they are gone."""
        if self._closer:
            self._closer.attends(self._running, args, kwargs)
        return super().call_function(target, args, kwargs)

    def waiting(self) -> list[Later]:
        """What `read` must have read before `values` and `gradients` are asked for."""
        return [*self._values.values(), *self._gradients.values()]

    @property
    def values(self) -> dict[str, Moments]:
        """Of every node."""
        found = {name: seen.moments(saturated=name not in self._rearranged) for name, seen in self._values.items()}
        return {name: self._closer.with_alikeness(name, m) for name, m in found.items()} if self._closer else found

    @property
    def gradients(self) -> dict[str, Moments]:
        """Of every node that a gradient arrived at."""
        return {name: seen.moments() for name, seen in self._gradients.items()}

    def _see_value(self, n: FxNode, x: torch.Tensor) -> None:
        source, gradient_of = same_elements(n, self._recorded)
        self._gradient_of |= gradient_of
        if source in self._values:
            self._values[n.name] = self._values[source]
            self._rearranged.add(n.name)
            if self._closer:
                self._closer.value_again(n.name, source, x)
            return
        x = dense(x)
        self._values[n.name] = seen = sums(x, self._bounds.get(n.name), self._small)
        if self._closer:
            self._closer.value(n.name, x, seen)

    def _see_gradient(self, name: str, gradient: torch.Tensor) -> None:
        same = self._gradient_of.get(name, "")
        if same in self._gradients:
            self._gradients[name] = self._gradients[same]
            if self._closer:
                self._closer.gradient_again(name, same)
            return
        gradient = dense(gradient)
        self._gradients[name] = seen = sums(gradient, small=self._small)
        if self._closer:
            self._closer.gradient(name, gradient, seen)
