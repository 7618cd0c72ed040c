"""A stack of trials trained at once, tested, and stored."""

from __future__ import annotations

import copy
import math
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fanin.experiments.data import IGNORED, Data, Loss
from fanin.experiments.store import Store
from fanin.experiments.study import Training
from fanin.experiments.subject import Subject
from fanin.experiments.together import train_together
from fanin.experiments.training import Losses, loss_function, train
from fanin.experiments.trial import Cell, decides
from fanin.frameworks.torch import write_
from fanin.plans import Plan

STACKED_ELEMENTS = 1 << 20  # parameters of a model: with 200,000, a stack halves the time; with 3 million it doubles it
TESTED_AT_ONCE = 512  # samples: enough to be fast, few enough for the memory of any net that trains


@dataclass(frozen=True)
class Stack:
    """Trials of one recipe."""

    recipe: str
    plan: Plan
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Report:
    """What became of a stack; trials that are neither trained nor failed are elsewhere.

    Attributes:
        trained: how many.
        failed: with the error.
        results: of those that are trained, where the worker has no store to keep them in.
    """

    trained: int = 0
    failed: tuple[tuple[Cell, str], ...] = ()
    results: tuple[tuple[Cell, dict[str, Any]], ...] = ()


@dataclass(frozen=True)
class Worker:
    """Trains what it is given, unless the store has it or another run works on it; a function of its fields.

    Attributes:
        store: None where it is out of reach, as on another machine: results go into the report.
    """

    subject: Subject
    how: Training
    store: Store | None

    def __call__(self, stack: Stack, tell: Callable[[int], None]) -> Report:
        """Claim, look, train, store."""
        if self.store is None:
            return self._train(stack.plan, stack.cells, tell)
        with ExitStack() as claims:
            keys = {c: self.key(stack.plan, c) for c in stack.cells}
            claimed = [c for c, key in keys.items() if claims.enter_context(self.store.claim(key))]
            cells = [c for c in claimed if self.store.get(keys[c]) is None]
            found = self._train(stack.plan, cells, tell)
            for cell, result in found.results:
                self.store.put(keys[cell], result)
            return replace(found, results=())

    def _train(self, plan: Plan, cells: Sequence[Cell], tell: Callable[[int], None]) -> Report:
        if not cells:
            return Report()
        started = time.perf_counter()
        with one_core():
            ended = train_stack(self.subject, plan, cells, self.how, tell)
        seconds = (time.perf_counter() - started) / len(cells)
        facts = {"torch": torch.__version__, "machine": platform.machine(), "stack": len(cells)}
        pairs = list(zip(cells, ended, strict=True))
        failed = tuple((c, f"{type(e).__name__}: {e}") for c, e in pairs if isinstance(e, Exception))
        good = tuple((c, {**r, "seconds": seconds, "facts": facts}) for c, r in pairs if not isinstance(r, Exception))
        return Report(len(good), failed, good)

    def key(self, plan: Plan, cell: Cell) -> dict[str, Any]:
        """Of a trial in the store."""
        return decides(self.subject.digest, plan, self.how, cell, torch.__version__)


def train_stack(
    subject: Subject, plan: Plan, cells: Sequence[Cell], how: Training, tell: Callable[[int], None] = lambda _: None
) -> list[dict[str, Any] | Exception]:
    """Of each trial its losses and tests, or the error that ended it.

    All at once by `torch.func`; large models, and those that it cannot stack, such as those with dropout, one after the
    other. Which way is the model's alone, so that a trial's numbers do not depend on the stack that it is in.
    """
    told = 0

    def count(amount: int) -> None:
        nonlocal told
        told += amount
        tell(amount)

    with torch.random.fork_rng(devices=[]):
        try:
            if gains(subject.model):
                return list(_together(subject, plan, cells, how, count))
        except Exception:  # noqa: BLE001  # whatever torch.func does not take; what is wrong with the model comes again
            tell(-told)
        alone: list[dict[str, Any] | Exception] = []
        for cell in cells:
            try:
                alone.append(_alone(subject, plan, cell, how, tell))
            except Exception as error:  # noqa: BLE001  # the model's own; the other trials go on
                alone.append(error)
        return alone


def gains(model: nn.Module) -> bool:
    """Whether models of this size train faster in a stack."""
    return sum(p.numel() for p in model.parameters()) <= STACKED_ELEMENTS


def _together(
    subject: Subject, plan: Plan, cells: Sequence[Cell], how: Training, tell: Callable[[int], None]
) -> Iterator[dict[str, Any]]:
    model, data = copy.deepcopy(subject.model), subject.data
    starts = {}
    for seed in dict.fromkeys(c.seed for c in cells):
        write_(model, plan, seed)
        starts[seed] = {name: w.detach().clone() for name, w in model.named_parameters()}
    last: dict[str, Tensor] = {}
    seeds, rates = [c.seed for c in cells], [c.rate for c in cells]
    done = 0

    def step(at: int) -> None:
        nonlocal done
        tell((at - done) * len(cells))
        done = at

    losses = train_together(
        model, [starts[s] for s in seeds], seeds, rates, data, how, on_step=step, on_end=last.update
    )
    tell((how.steps - done) * len(cells))  # all have diverged
    for at, found in enumerate(losses):
        yield _result(found, tested(model, {name: w[at] for name, w in last.items()}, data))


def _alone(subject: Subject, plan: Plan, cell: Cell, how: Training, tell: Callable[[int], None]) -> dict[str, Any]:
    torch.manual_seed(cell.seed)  # of what the model itself draws, such as dropout
    model = copy.deepcopy(subject.model)
    write_(model, plan, cell.seed)
    done = 0

    def step(at: int) -> None:
        nonlocal done
        tell(at - done)
        done = at

    losses = train(model, subject.data, replace(how, learning_rate=cell.rate), cell.seed, step)
    tell(how.steps - done)  # it has diverged
    return _result(losses, tested(model, dict(model.named_parameters()) | dict(model.named_buffers()), subject.data))


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
