"""A stack of trials trained at once, tested, and stored."""

from __future__ import annotations

import copy
import math
import platform
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fanin.experiments.data import IGNORED, Data, Loss
from fanin.experiments.design import Design
from fanin.experiments.engines.engine import Tell, Words
from fanin.experiments.probe import seen
from fanin.experiments.settings import Training
from fanin.experiments.store import Store
from fanin.experiments.subject import Subject
from fanin.experiments.together import train_together
from fanin.experiments.training import Losses, OnStep, loss_function, train
from fanin.experiments.trial import Cell
from fanin.frameworks.torch import write_
from fanin.plans import Plan

STACKED_ELEMENTS = 1 << 20  # parameters of a model: with 200,000, a stack halves the time; with 3 million it doubles it
Trial = tuple[Plan, Cell]
TESTED_AT_ONCE = 512  # samples: enough to be fast, few enough for the memory of any net that trains


class At(NamedTuple):
    """Which trial: of which design, and where in it."""

    design: int
    recipe: str
    cell: Cell


Stack = tuple[At, ...]
"""Trials of one net and training, which differ in their start, their rate and their batches."""


class Said(NamedTuple):
    """The loss of a trial at one step, while it trains."""

    at: At
    step: int
    loss: float


@dataclass(frozen=True)
class Report:
    """What became of a stack; trials that are neither trained nor failed are elsewhere.

    Attributes:
        trained: how many.
        failed: with the error.
        results: of those that are trained, where the worker has no store to keep them in.
    """

    trained: int = 0
    failed: tuple[tuple[At, str], ...] = ()
    results: tuple[tuple[At, dict[str, Any]], ...] = ()


@dataclass(frozen=True)
class Worker:
    """Trains what it is given, unless the store has it or another run works on it; a function of its fields.

    Attributes:
        store: None where it is out of reach, as on another machine: results go into the report.
        aloud: whether words go with the steps that are told, the loss of each trial as `Said`.
    """

    designs: tuple[Design, ...]
    store: Store | None
    aloud: bool = False

    def __call__(self, stack: Stack, tell: Tell) -> Report:
        """Claim, look, train, store."""
        if self.store is None:
            return self._train(stack, tell)
        with ExitStack() as claims:
            keys = {at: self.designs[at.design].key(at.recipe, at.cell) for at in stack}
            claimed = [at for at, key in keys.items() if claims.enter_context(self.store.claim(key))]
            signals = self.designs[stack[0].design].signals
            found = self._train([at for at in claimed if not has(self.store.get(keys[at]), signals)], tell)
            for at, result in found.results:
                self.store.put(keys[at], result)
            return replace(found, results=())

    def _train(self, todo: Sequence[At], tell: Tell) -> Report:
        if not todo:
            return Report()

        def told(amount: int, losses: Words) -> None:
            tell(amount, [Said(todo[trial], step, loss) for trial, step, loss in losses] if self.aloud else ())

        first = self.designs[todo[0].design]
        trials = [(self.designs[at.design].plans[at.recipe], at.cell) for at in todo]
        started = time.perf_counter()
        with one_core():
            ended = train_stack(first.subject, trials, first.how, told, signals=first.signals)
        seconds = (time.perf_counter() - started) / len(todo)
        facts = {"torch": torch.__version__, "machine": platform.machine(), "stack": len(todo)}
        pairs = list(zip(todo, ended, strict=True))
        failed = tuple((at, f"{type(e).__name__}: {e}") for at, e in pairs if isinstance(e, Exception))
        good = tuple((at, {**r, "seconds": seconds, "facts": facts}) for at, r in pairs if not isinstance(r, Exception))
        return Report(len(good), failed, good)


def has(result: Mapping[str, Any] | None, signals: bool) -> bool:
    """Whether a stored result has all that is asked for; one without signals is trained again where they are."""
    return result is not None and (not signals or "signals" in result)


def train_stack(
    subject: Subject,
    trials: Sequence[Trial],
    how: Training,
    tell: Tell = lambda amount, losses: None,
    *,
    signals: bool = False,
) -> list[dict[str, Any] | Exception]:
    """Of each trial its losses and tests, or the error that ended it.

    All at once by `torch.func`; large models, and those that it cannot stack, such as those with dropout, one after the
    other. Which way is the model's alone, so that a trial's numbers do not depend on the stack that it is in.
    `tell` is called with the steps that are done, of one model each, and (which trial, step, loss) of each.
    """
    told = 0

    def counted(amount: int, losses: Words) -> None:
        nonlocal told
        told += amount
        tell(amount, losses)

    with torch.random.fork_rng(devices=[]):
        try:
            if gains(subject.model):
                return list(_together(subject, trials, how, counted, signals))
        except Exception:  # noqa: BLE001  # whatever torch.func does not take; what is wrong with the model comes again
            tell(-told, ())
        alone: list[dict[str, Any] | Exception] = []
        for at, trial in enumerate(trials):
            try:
                alone.append(_alone(subject, trial, how, _steps_of(range(at, at + 1), tell), signals))
            except Exception as error:  # noqa: BLE001  # the model's own; the other trials go on
                alone.append(error)
        return alone


def gains(model: nn.Module) -> bool:
    """Whether models of this size train faster in a stack."""
    return sum(p.numel() for p in model.parameters()) <= STACKED_ELEMENTS


def _together(
    subject: Subject, trials: Sequence[Trial], how: Training, tell: Tell, signals: bool
) -> Iterator[dict[str, Any]]:
    model, data = copy.deepcopy(subject.model), subject.data
    starts = []
    for plan, cell in trials:
        write_(model, plan, cell.seed)
        starts.append({name: w.detach().clone() for name, w in model.named_parameters()})
    last: dict[str, Tensor] = {}
    on_step = _steps_of(range(len(trials)), tell)
    seeds, rates = zip(*(cell for _, cell in trials), strict=True)
    losses = train_together(model, starts, seeds, rates, data, how, on_step, last.update)
    on_step(how.steps, ())  # of which the last are not done where all have diverged
    for at, (found, start) in enumerate(zip(losses, starts, strict=True)):
        end = {name: w[at] for name, w in last.items()}
        flowed = seen(subject, model, start, end) if signals else {}
        yield _result(found, tested(model, end, data)) | flowed


def _alone(subject: Subject, trial: Trial, how: Training, on_step: OnStep, signals: bool) -> dict[str, Any]:
    plan, cell = trial
    torch.manual_seed(cell.seed)  # of what the model itself draws, such as dropout
    model = copy.deepcopy(subject.model)
    write_(model, plan, cell.seed)
    start = {name: w.detach().clone() for name, w in model.named_parameters()} if signals else {}
    losses = train(model, subject.data, replace(how, learning_rate=cell.rate), cell.seed, on_step)
    on_step(how.steps, ())  # of which the last are not done where it has diverged
    end = {name: w.detach() for name, w in (*model.named_parameters(), *model.named_buffers())}
    flowed = seen(subject, copy.deepcopy(model), start, end) if signals else {}
    return _result(losses, tested(model, end, subject.data)) | flowed


def _steps_of(trials: range, tell: Tell) -> OnStep:
    """Tells of each step of these."""
    done = 0

    def on_step(step: int, losses: Sequence[float]) -> None:
        nonlocal done
        tell((step - done) * len(trials), [(trial, step, loss) for trial, loss in zip(trials, losses, strict=False)])
        done = step

    return on_step


def _result(found: Losses, metrics: tuple[float | None, float | None]) -> dict[str, Any]:
    losses, diverged_at = found
    return {"losses": losses, "diverged_at": diverged_at, "test_loss": metrics[0], "accuracy": metrics[1]}


def tested(model: nn.Module, weights: Mapping[str, Tensor], data: Data) -> tuple[float | None, float | None]:
    """Loss and accuracy on the test set; outputs that are not finite are wrong, their loss is None."""
    model.eval()
    inputs, targets = torch.from_numpy(data.test_inputs), torch.from_numpy(data.test_targets)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")
        parts = [functional_call(model, dict(weights), (x,)) for x in inputs.split(TESTED_AT_ONCE)]  # type: ignore[no-untyped-call]
        outputs = torch.cat(parts)
        loss = float(loss_function(data.loss)(outputs, targets))
        found = loss if math.isfinite(loss) else None
        if data.loss is Loss.SQUARED_ERROR:
            return found, None
        right = (outputs.argmax(-1) == targets) & outputs.isfinite().all(-1)
        return found, float(right[targets != IGNORED].double().mean())


@contextmanager
def one_core() -> Iterator[None]:
    """One thread a process, and numbers below 1e-38 taken for 0, so that a dying signal costs no more than others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)
