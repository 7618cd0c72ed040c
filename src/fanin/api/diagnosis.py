"""What is wrong with a model, what to do, and doing it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from fanin.api.evidence import foreseen, gathering
from fanin.diagnosis import CHECKS, Diagnosis, Evidence, Finding, Repair, Selection, repair
from fanin.diagnosis import diagnose as judge
from fanin.errors import BadInput
from fanin.frameworks import adapter_of
from fanin.plans import Plan
from fanin.plans.recipes import Recipe
from fanin.stream import key


def diagnose(
    model: Any,
    *example: Any,
    loss: Callable[..., Any] | None = None,
    optimizer: Any = None,
    plan: Plan | Any | None = None,
    follows: str | Recipe | Plan | None = None,
    batches: int = 3,
    select: str | Sequence[str] = (),
    ignore: str | Sequence[str] = (),
) -> Diagnosis:
    """What is wrong with the model as it is initialized now, where, why, and what to do.

    `print` shows the findings, `to_html("report.html")` writes the whole report, a notebook shows both and plots. A
    model on the meta device, which may be too big to run, is judged by what is predicted.

    Args:
        example: one batch, as for `measure`; or a DataLoader alone, of whose first batches the signals are averages. A
            batch is a tensor, a tuple of arguments, or a mapping of keywords.
        loss: as for `measure`; or of the output and a target, as `cross_entropy` is: that is the last of a batch, or
            what a mapping has under "labels" or "target". Without one, what the model has no argument for is left out.
        optimizer: with which the model is to be trained, such as `torch.optim.AdamW(model.parameters())`; then the size
            of its first step is judged, too.
        plan: judge the model as this plan would start it, with seed 0, instead of as it is; its own weights come back.
            What `on_meta` recorded stands for what the constructor of a model on the meta device draws.
        follows: how the model is said to start: a recipe, such as "gpt2", or a plan. What starts otherwise is found.
        batches: of a loader, how many to look at.
        select: codes of checks to run, or families: "F,B01" or ["F", "B01"]; all by default.
        ignore: codes not to show, "B02"; or only where all that is affected lies in some modules, "U02:gate.*".

    Raises:
        UnknownName: a code that no check has, or a recipe that does not exist.
        BadInput: the data holds NaN or infinities, or is on another device than the model; no target for the loss.
        All that `measure` raises.

    Example:
        >>> import fanin, torch
        >>> layers = [m for _ in range(30) for m in (torch.nn.Linear(64, 64), torch.nn.ReLU())]
        >>> net = torch.nn.Sequential(*layers)
        >>> fanin.diagnose(net, torch.randn(32, 64)).summary
        'indistinguishable samples, vanishing gradients'
        >>> _ = fanin.initialize_(net, torch.zeros(1, 64), seed=0)
        >>> fanin.diagnose(net, torch.randn(32, 64)).summary
        'healthy'
        >>> fanin.diagnose(net, torch.randn(32, 64), follows="xavier").summary
        'wrong law'
        >>> with torch.device("meta"):
        ...     large = torch.nn.Sequential(*[torch.nn.Linear(8192, 8192) for _ in range(30)])
        ...     x = torch.empty(8, 8192)
        >>> fanin.diagnose(large, x, plan=fanin.plan(large, x, recipe="torch_default")).summary
        'indistinguishable samples, vanishing gradients'
        >>> fanin.diagnose(net, torch.randint(0, 256, (32, 64)).float()).summary
        'input not normalised'
    """
    selection, adapter = Selection.of(select, ignore, CHECKS), adapter_of(model, "has_values")
    if not adapter.has_values(model):
        seen = foreseen(model, *example, plan=plan, loss=loss, follows=follows)
    else:
        look = gathering(model, *example, loss=loss, optimizer=optimizer, follows=follows, batches=batches)
        with adapter.drawn(model, plan, 0) if plan is not None else nullcontext():
            seen = look()
    return replace(judge(seen, selection), page=page)


def page(diagnosis: Diagnosis) -> str:
    """The report of a diagnosis as one HTML file; `Diagnosis.to_html` writes it."""
    from importlib.metadata import version

    from fanin.reports import to_html
    from fanin.reports.check_page import check_page

    return to_html(check_page(diagnosis, None, {}, f"fanin {version('fanin')}"))


def repair_(
    model: Any,
    *example: Any,
    loss: Callable[..., Any] | None = None,
    optimizer: Any = None,
    follows: str | Recipe | Plan | None = None,
    batches: int = 3,
    select: str | Sequence[str] = (),
    ignore: str | Sequence[str] = (),
    seed: int = 0,
    progress: Callable[[Finding], None] | None = None,
) -> Repair:
    """Try the remedy of each finding, and write what helped: all of it, or nothing if anything fails.

    One remedy after another is drawn and measured beside those before it, and stays only if its finding is gone or
    clearly less and no error or warning came up that was not there. Whatever nothing was found in keeps its values, bit
    for bit. What no start helps is said to need something else.

    Args:
        example, loss, optimizer, follows, batches, select, ignore: as for `diagnose`. Harm is judged by all checks,
            whatever is selected. Notes are left, since they may be meant so; one whose code is selected, as "U04" and
            not as "U", is repaired, too.
        seed: of what the remedies draw; `initialize_(model, recipe=repair.plan, seed=seed)` writes the same.
        progress: called with each finding whose remedy is about to be tried; a trial costs as much as a diagnosis.

    Raises:
        BadInput: a model on the meta device, which has nothing to repair: give it another plan.
        All that `diagnose` raises; the model is as it was then, and after Ctrl-C.

    Example:
        >>> import fanin, torch
        >>> _ = torch.manual_seed(0)
        >>> layers = [m for _ in range(30) for m in (torch.nn.Linear(64, 64), torch.nn.ReLU())]
        >>> net = torch.nn.Sequential(*layers)
        >>> print(fanin.repair_(net, torch.randn(32, 64)))
        Sequential: indistinguishable samples, vanishing gradients
        kept        F04 indistinguishable samples: gone (last_difference was ...)
        gone        B01 vanishing gradients: with the remedy of F04 (total_ratio was ...)
        60 of 60 parameters start anew, seed 0: healthy
    """
    key(seed, "")  # refuses what is no seed, before a trial could be blamed for it
    selection, adapter = Selection.of(select, ignore, CHECKS), adapter_of(model, "has_values")
    if not adapter.has_values(model):
        raise BadInput(
            "The model is on the meta device and has no values to repair. Give it others to start with: "
            "diagnose(model, x, plan=fanin.plan(model, x, recipe=…)) says what they would make of it."
        )
    look = gathering(model, *example, loss=loss, optimizer=optimizer, follows=follows, batches=batches)

    def trial(plan: Plan) -> Evidence:
        with adapter.drawn(model, plan, seed):
            return look()

    found = repair(look(), trial, selection, on_trial=progress or (lambda _: None))
    if found.plan:
        adapter.write_(model, found.plan, seed)
    before, after = replace(found.before, page=page), replace(found.after, page=page)
    return replace(found, before=before, after=after, seed=seed)
