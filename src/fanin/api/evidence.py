"""All that the checks look at: a prediction, a real pass, the laws of the weights, and what surrounds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fanin.diagnosis import Evidence
from fanin.errors import FaninError
from fanin.frameworks import adapter_of
from fanin.plans import Plan, make_plan
from fanin.plans.recipes import Recipe
from fanin.signals import averaged
from fanin.signals.average import averaged_chance


def gathering(
    model: Any,
    *example: Any,
    loss: Callable[..., Any] | None = None,
    optimizer: Any = None,
    follows: str | Recipe | Plan | None = None,
    batches: int = 3,
) -> Callable[[], Evidence]:
    """Trace the model once; each call of the result looks at it as it is then.

    Args: as for `diagnose`.
    """
    adapter = adapter_of(model)
    first, *further = adapter.batches_of(model, example, loss, batches)
    traced = adapter.trace(model, *first.example)
    inputs, *_ = [adapter.inputs_seen(traced, model, batch.example) for batch in (first, *further)]
    training = None if optimizer is None else adapter.training(model, optimizer)
    expected = _plan_of(adapter, traced, model, first.example, follows)

    def gather() -> Evidence:
        try:
            predicted = adapter.predict(traced, model, first.example, None, first.loss)
        except FaninError:  # what is wrong with the call is said by the pass itself
            predicted = None
        axes = predicted.axes if predicted else {}
        passes, chances = [], []
        for batch in (first, *further):
            stake = adapter.stake(traced, model, batch.loss)
            passes.append(adapter.observe(traced, model, batch.example, batch.loss, axes, stake and stake.class_axes))
            chances.append(adapter.chance(stake, passes[-1]))
        return Evidence(
            traced.graph,
            averaged(passes) if further else passes[0],
            predicted,
            laws=adapter.seen(model, traced.graph),
            follows=expected,
            inputs=inputs,
            chance=averaged_chance(chances),
            training=training,
        )

    return gather


def foreseen(
    model: Any,
    *example: Any,
    plan: Any = None,
    loss: Callable[..., Any] | None = None,
    follows: str | Recipe | Plan | None = None,
) -> Evidence:
    """Of a model without memory: a prediction, and what the plan says of each parameter.

    Args:
        plan: that is to start it, or what `on_meta` recorded.
    """
    adapter = adapter_of(model)
    first, *_ = adapter.batches_of(model, example, loss, 1)
    traced = adapter.trace(model, *first.example)
    predicted = adapter.predict(traced, model, first.example, plan, first.loss)
    laws = plan if isinstance(plan, Plan) else None
    expected = _plan_of(adapter, traced, model, first.example, follows)
    return Evidence(traced.graph, predicted, predicted, laws=laws, follows=expected)


def _plan_of(adapter: Any, traced: Any, model: Any, example: tuple[Any, ...], how: Any) -> Plan | None:
    """What the recipe decides for the graph that was traced; a plan stands for itself."""
    if how is None or isinstance(how, Plan):
        return how
    return make_plan(traced.graph, how, None, adapter.sweep(traced, model, example), adapter.constrained(model))
