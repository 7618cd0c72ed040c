"""What is wrong with a model, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fanin.diagnosis import Diagnosis, Evidence, Selection
from fanin.diagnosis import diagnose as judge
from fanin.errors import FaninError
from fanin.frameworks import adapter_of
from fanin.plans import Plan, make_plan
from fanin.plans.recipes import Recipe


def diagnose(
    model: Any,
    *example: Any,
    loss: Callable[[Any], Any] | None = None,
    follows: str | Recipe | Plan | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> Diagnosis:
    """What is wrong with the model as it is initialized now, where, why, and what to do.

    Args and Raises: as for `measure`, and:
        follows: how the model is said to start: a recipe, such as "gpt2", or a plan. What starts otherwise is found.

    Example:
        >>> import fanin, torch
        >>> layers = [m for _ in range(30) for m in (torch.nn.Linear(64, 64), torch.nn.ReLU())]
        >>> net = torch.nn.Sequential(*layers)
        >>> fanin.diagnose(net, torch.randn(32, 64)).summary
        'vanishing gradients'
        >>> _ = fanin.initialize_(net, torch.zeros(1, 64), seed=0)
        >>> fanin.diagnose(net, torch.randn(32, 64)).summary
        'healthy'
        >>> fanin.diagnose(net, torch.randn(32, 64), follows="xavier").summary
        'wrong law'
    """
    found = gather(model, *example, loss=loss, follows=follows)
    return judge(found, Selection(tuple(select), tuple(ignore)))


def gather(
    model: Any,
    *example: Any,
    loss: Callable[[Any], Any] | None = None,
    follows: str | Recipe | Plan | None = None,
) -> Evidence:
    """All that the checks look at."""
    adapter = adapter_of(model)
    traced = adapter.trace(model, *example)
    try:
        predicted = adapter.predict(traced, model, example, None, loss)
    except FaninError:  # what is wrong with the call is said by the pass itself
        predicted = None
    measured = adapter.observe(traced, model, example, loss, predicted.axes if predicted else {})
    expected = _plan_of(adapter, traced, model, example, follows)
    return Evidence(traced.graph, measured, predicted, adapter.seen(model, traced.graph), expected)


def _plan_of(adapter: Any, traced: Any, model: Any, example: tuple[Any, ...], how: Any) -> Plan | None:
    """What the recipe decides for the graph that was traced; a plan stands for itself."""
    if how is None or isinstance(how, Plan):
        return how
    return make_plan(traced.graph, how, None, adapter.sweep(traced, model, example), adapter.constrained(model))
