"""The sweeps on which a plan is tuned: forward, from the plan's laws and shapes alone, or on its draws and a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.fx.node import Node as FxNode

from fanin.frameworks.torch.measuring.drawn import drawn
from fanin.frameworks.torch.measuring.moments import moments
from fanin.frameworks.torch.model.call import call_of
from fanin.frameworks.torch.model.names import named_parameters, naming
from fanin.frameworks.torch.model.state import fixed_randomness, undisturbed
from fanin.frameworks.torch.model.whole import unwrapped
from fanin.frameworks.torch.predicting.known import known_tensors
from fanin.frameworks.torch.predicting.made import Stored
from fanin.frameworks.torch.predicting.surrogate import sampler
from fanin.frameworks.torch.predicting.weights import weights_of
from fanin.frameworks.torch.tracing.program_inputs import flat_inputs
from fanin.frameworks.torch.tracing.replay import Replay
from fanin.frameworks.torch.tracing.trace import Traced
from fanin.plans import Plan, Sweep
from fanin.signals.propagate import Tune, forward
from fanin.signals.rules import RULES
from fanin.signals.values import Value


def sweep(traced: Traced, model: torch.nn.Module, example: tuple[Any, ...]) -> Sweep:
    """Predict forward from a plan, tuning; floating-point inputs are white noise of second moment 1.

    The values of the example do not count, so that a plan is a function of the model and of shapes alone.
    """

    def swept(plan: Plan, tune: Tune) -> Mapping[str, float]:
        own = unwrapped(model)
        with undisturbed(own):
            weights = weights_of(traced.graph, own, plan)
            known: dict[str, Value] = {**weights, **known_tensors(traced, call_of(own, example).on_meta())}
            return forward(traced.graph, known, RULES, sampler(traced, Stored.of(own, plan)), tune).factors

    return swept


def measured_sweep(traced: Traced, model: torch.nn.Module, example: tuple[Any, ...], seed: int) -> Sweep:
    """Run forward on one batch from what a plan draws, tuning; the model gets its own weights back.

    Every node is run once, and again where a weight of it was changed: what follows sees the change. Dropout and the
    like draw the same in every sweep.
    """

    def swept(plan: Plan, tune: Tune) -> Mapping[str, float]:
        own = unwrapped(model)
        with drawn(own, plan, seed), undisturbed(own), torch.no_grad():
            fixed_randomness()
            tuning = _Tuning(traced, tune)
            stored = {path: p.detach() for path, (p, _) in named_parameters(own).items()}
            tuning.stored = stored
            tuning.run(*flat_inputs(traced, stored, naming(own), call_of(own, example)))
            return tuning.factors

    return swept


class _Tuning(Replay):
    """Runs the program node by node, making parameters wider on the way."""

    def __init__(self, traced: Traced, tune: Tune) -> None:
        super().__init__(traced)
        self.factors: dict[str, float] = {}
        self.stored: dict[str, torch.Tensor] = {}
        self._nodes, self._tune = traced.graph.by_name, tune
        self._second: dict[str, float] = {}

    def run_node(self, n: FxNode) -> Any:
        result = self._run(n)
        if n.name in self._nodes and (factors := self._tune(self._nodes[n.name], self._second.get)):
            for path, by in factors.items():
                self.stored[path].mul_(by)
                self.factors[path] = self.factors.get(path, 1.0) * by
            result = self._run(n)
        return result

    def _run(self, n: FxNode) -> Any:
        result = super().run_node(n)
        first = result[0] if isinstance(result, (tuple, list)) and result else result
        if n.name in self._nodes and isinstance(first, torch.Tensor) and first.is_floating_point():
            self._second[n.name] = moments(first).second_moment
        return result
