"""The sweep on which a plan is tuned: forward, from the laws of the plan, for inputs of which only shapes count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from fanin.frameworks.torch.call import call_of
from fanin.frameworks.torch.known import known_tensors
from fanin.frameworks.torch.state import undisturbed
from fanin.frameworks.torch.surrogate import sampler
from fanin.frameworks.torch.trace import Traced
from fanin.frameworks.torch.weights import weights_of
from fanin.frameworks.torch.whole import unwrapped
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
            return forward(traced.graph, known, RULES, sampler(traced), tune).factors

    return swept
