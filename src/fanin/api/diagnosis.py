"""What is wrong with a model, what to do, and doing it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from fanin.diagnosis import CHECKS, Diagnosis, Evidence, Repair, Selection, repair
from fanin.diagnosis import diagnose as judge
from fanin.errors import FaninError
from fanin.frameworks import adapter_of
from fanin.plans import Plan
from fanin.stream import key


def diagnose(
    model: Any,
    *example: Any,
    loss: Callable[[Any], Any] | None = None,
    select: str | Sequence[str] = (),
    ignore: str | Sequence[str] = (),
) -> Diagnosis:
    """What is wrong with the model as it is initialized now, where, why, and what to do.

    Args:
        example, loss: as for `measure`.
        select: codes of checks to run, or families: "F,B01" or ["F", "B01"]; all by default.
        ignore: codes not to show, "B02"; or only where all that is affected lies in some modules, "U02:gate.*".

    Raises:
        UnknownName: a code that no check has.
        All that `measure` raises.

    Example:
        >>> import fanin, torch
        >>> layers = [m for _ in range(30) for m in (torch.nn.Linear(64, 64), torch.nn.ReLU())]
        >>> net = torch.nn.Sequential(*layers)
        >>> fanin.diagnose(net, torch.randn(32, 64)).summary
        'vanishing gradients'
        >>> _ = fanin.initialize_(net, torch.zeros(1, 64), seed=0)
        >>> fanin.diagnose(net, torch.randn(32, 64)).summary
        'healthy'
    """
    selection = Selection.of(select, ignore, CHECKS)
    return judge(gathering(model, *example, loss=loss)(), selection)


def repair_(
    model: Any,
    *example: Any,
    loss: Callable[[Any], Any] | None = None,
    select: str | Sequence[str] = (),
    ignore: str | Sequence[str] = (),
    seed: int = 0,
    **given: Any,
) -> Repair:
    """Try the remedy of each finding, and write what helped: all of it, or nothing if anything fails.

    One remedy after another is drawn and measured beside those before it, and stays only if its finding is gone or
    clearly less and no error or warning came up that was not there. Whatever nothing was found in keeps its values, bit
    for bit. What no start helps is said to need something else.

    Args:
        example, loss, select, ignore: as for `diagnose`. Harm is judged by all checks, whatever is selected.
        given: whatever else `diagnose` is given.
        seed: of what the remedies draw; `initialize_(model, recipe=repair.plan, seed=seed)` writes the same.

    Raises:
        All that `diagnose` raises; the model is as it was then, and after Ctrl-C.

    Example:
        >>> import fanin, torch
        >>> _ = torch.manual_seed(0)
        >>> layers = [m for _ in range(30) for m in (torch.nn.Linear(64, 64), torch.nn.ReLU())]
        >>> net = torch.nn.Sequential(*layers)
        >>> print(fanin.repair_(net, torch.randn(32, 64)))
        Sequential: vanishing gradients
        kept        B01 vanishing gradients: gone (total_ratio was ...)
        30 of 60 parameters start anew, seed 0: healthy
    """
    key(seed, "")  # refuses what is no seed, before a trial could be blamed for it
    selection, adapter = Selection.of(select, ignore, CHECKS), adapter_of(model)
    look = gathering(model, *example, loss=loss, **given)

    def trial(plan: Plan) -> Evidence:
        with adapter.drawn(model, plan, seed):
            return look()

    found = replace(repair(look(), trial, selection), seed=seed)
    if found.plan:
        adapter.write_(model, found.plan, seed)
    return found


def gathering(model: Any, *example: Any, loss: Callable[[Any], Any] | None = None) -> Callable[[], Evidence]:
    """Trace the model once; each call of the result looks at it as it is then, and has all that checks look at."""
    adapter = adapter_of(model)
    traced = adapter.trace(model, *example)

    def gather() -> Evidence:
        try:
            predicted = adapter.predict(traced, model, example, None, loss)
        except FaninError:  # what is wrong with the call is said by the pass itself
            predicted = None
        measured = adapter.observe(traced, model, example, loss, predicted.axes if predicted else {})
        return Evidence(traced.graph, measured, predicted, adapter.seen(model, traced.graph))

    return gather
