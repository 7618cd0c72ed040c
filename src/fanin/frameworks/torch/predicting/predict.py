"""What flows through a traced module, from the graph alone: laws in place of weights, moments in place of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from fanin.errors import BadInput
from fanin.frameworks.measured import name_of
from fanin.frameworks.torch.building.built import built
from fanin.frameworks.torch.building.record import Recording
from fanin.frameworks.torch.measuring.scalar import Loss
from fanin.frameworks.torch.model.call import call_of
from fanin.frameworks.torch.model.state import undisturbed
from fanin.frameworks.torch.model.whole import any_sharded, unwrapped
from fanin.frameworks.torch.predicting.known import known_tensors
from fanin.frameworks.torch.predicting.loops import loop_runner
from fanin.frameworks.torch.predicting.made import Stored
from fanin.frameworks.torch.predicting.seeds import of_fixed_noise, of_loss
from fanin.frameworks.torch.predicting.surrogate import sampler
from fanin.frameworks.torch.predicting.weights import weights_of
from fanin.frameworks.torch.tracing.custom_functions import unsure_gradients
from fanin.frameworks.torch.tracing.trace import Traced
from fanin.graph import Graph
from fanin.plans import Plan
from fanin.signals import Signals
from fanin.signals.model import RANDOM_COTANGENT
from fanin.signals.propagate import Rule, backward, forward
from fanin.signals.rules import RULES
from fanin.signals.summary import summarised
from fanin.signals.values import Value, Weight


# A signal may leave float64 on its way; that it is then infinite is the answer.
@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def predict(
    traced: Traced,
    model: torch.nn.Module,
    example: tuple[Any, ...],
    plan: Plan | Recording | None = None,
    loss: Loss | None = None,
    rules: Mapping[str, Rule] = RULES,
) -> Signals:
    """Moments of every node's value and gradient, and of every parameter's gradient; the model is left as it was.

    Args:
        plan: how the parameters are to start; without one, as they are. What the plan keeps is seen as it is. A
            recording of the constructor stands for what that draws.
        rules: by the name of the operation.
        loss: from the model's output to a scalar: it is given outputs drawn as they are predicted. Without one, the
            gradient is that of `observe`.

    Raises:
        BadInput: parameters on the meta device without a plan, a plan for another model, a sharded model without a
            plan, or a loss that fails, as for `observe`.
    """
    if any_sharded(model) and plan is None:
        raise BadInput(
            "The model is sharded, and this process does not hold the values of its parameters. Predict from how they "
            "are to start, predict(model, x, plan=plan), or before the model is sharded."
        )
    model, graph = unwrapped(model), traced.graph
    with undisturbed(model):
        known: dict[str, Value] = {**_weights(graph, model, plan), **known_tensors(traced, call_of(model, example))}
        stored = Stored.of(model, None if isinstance(plan, Recording) else plan)  # as built is as they are
        found = forward(graph, known, rules, sampler(traced, stored), run_loop=loop_runner(traced))
        if loss is None:
            scalar, seeds = of_fixed_noise(traced, found, known)
        else:
            scalar, seeds = of_loss(traced, model, found, known, loss)
        backward(graph, found, seeds)
    return summarised(graph, found, known, scalar, name_of(loss) if loss else RANDOM_COTANGENT, unsure_gradients(graph))


def _weights(graph: Graph, model: torch.nn.Module, plan: Plan | Recording | None) -> dict[str, Weight]:
    if isinstance(plan, Recording):
        as_built = built(plan, model, graph)
        return weights_of(graph, model, as_built.plan, as_built.kept, as_built.spread)
    return weights_of(graph, model, plan)
