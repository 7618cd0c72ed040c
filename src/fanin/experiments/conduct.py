"""Train what studies lack: look what the store has, make stacks of the rest, and give them to an engine."""

from __future__ import annotations

import math
import pickle
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Final

from fanin.errors import BadInput, UnknownName
from fanin.experiments.board import FOLDER, Curves
from fanin.experiments.design import Design
from fanin.experiments.engines import ENGINES, Engine, Words
from fanin.experiments.progress import bar as progress_bar
from fanin.experiments.stack import At, Report, Stack, Worker, gains, has
from fanin.experiments.store import Store, name_of
from fanin.experiments.study import Study
from fanin.experiments.trial import Run

LARGEST_STACK: Final = 16  # models: the gain levels off there (docs/compare.md), and a stack is what a kill loses
AGAIN: Final = 0.5  # seconds between two looks at trials that another run works on


class Stopped(KeyboardInterrupt):
    """Ctrl-C, with how far it came and how to go on."""


@dataclass(frozen=True)
class Engagement:
    """Who trains, and whether somebody looks on.

    Attributes:
        address: of a cluster.
        workers: None for as many as there are cores.
        tensorboard: write the curve of each trial, beside the results, while it trains.

    Raises:
        UnknownName: no engine of that name.
        BadInput: no sensible number of workers.
    """

    engine: str = "local"
    workers: int | None = None
    progress: bool = True
    address: str | None = None
    tensorboard: bool = False

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise UnknownName("engine", self.engine, ENGINES)
        if self.workers is not None and (type(self.workers) is not int or self.workers < 1):
            raise BadInput(f"workers must be an integer, at least 1; got {self.workers!r}.")


@dataclass(frozen=True)
class Conducted:
    """How many trials were run, and those that failed; the store has all others."""

    trained: int
    failed: Mapping[At, str]


def studies(designs: Sequence[Design], store: Store, by: Engagement, notes: list[str]) -> list[Study]:
    """Each design's, as the store has it after what was missing is trained."""
    worker = Worker(tuple(designs), Store(store.folder, _silent), by.tensorboard)  # what is damaged is said once, here
    with ENGINES[by.engine](by.workers, by.address) as engine:
        if engine.near and engine.workers > 1:
            _check_that_it_travels(worker)
        store.check()
        with closing(Curves(store.folder / FOLDER, designs)) if by.tensorboard else nullcontext() as curves:
            done = conduct(worker, store, engine, by.progress, curves)
    return [_study(number, each, store, done, notes) for number, each in enumerate(designs)]


def conduct(worker: Worker, store: Store, engine: Engine, progress: bool, curves: Curves | None = None) -> Conducted:
    """Train all that the store lacks.

    Raises:
        Stopped: Ctrl-C; what is done is kept.
    """
    keys = {At(n, *at): key for n, each in enumerate(worker.designs) for at, key in each.keys.items()}
    # Recipes that decide alike share their trials; where one of them keeps signals, it is the one that is run.
    first = {name_of(keys[at]): at for at in sorted(keys, key=lambda at: worker.designs[at.design].signals)}
    wanted = set(first.values())
    missing = [at for at in keys if at in wanted and not _is_there(worker, store, at, keys[at])]
    trained, failed = 0, dict[At, str]()

    def done(stack: Stack, report: Report) -> None:
        nonlocal trained
        for at, result in report.results:
            store.put(keys[at], result)
        for at in stack if report.trained else ():
            if curves and (kept := store.get(keys[at])) is not None:
                curves.ended(at, kept)
        trained += report.trained
        failed.update(report.failed)

    def lost(stack: Stack, how: str) -> None:
        failed.update(dict.fromkeys(stack, how))

    def heard(amount: int, words: Words) -> None:
        advance(amount)
        for word in words:
            if curves:
                curves.said(word)

    had = len(wanted) - len(missing)
    what = f"training {len(missing)} nets" + (f", {had} are in the store" if had else "")
    steps = sum(worker.designs[at.design].how.steps for at in missing)
    with progress_bar(what, steps, progress) as advance:
        try:
            while missing:
                todo = stacks(worker.designs, missing, engine.workers)
                work = worker if engine.near else replace(worker, store=None)
                engine(todo, work, on_done=done, on_lost=lost, on_progress=heard)
                missing = [at for at in missing if at not in failed and not _is_there(worker, store, at, keys[at])]
                missing = _waited(worker, store, {at: keys[at] for at in missing})
        except KeyboardInterrupt as stop:
            kept = sum(_is_there(worker, store, at, keys[at]) for at in wanted)
            raise Stopped(
                f"Stopped: {kept} of {len(wanted)} trials are done and kept in {store.folder}. "
                "The same call goes on from there."
            ) from stop
    return Conducted(trained, failed)


def stacks(designs: Sequence[Design], missing: Sequence[At], workers: int) -> list[Stack]:
    """Trials of one net and training together: as many as pay, but some for every worker, and early seeds first."""
    groups: dict[Any, list[At]] = {}
    for at in missing:
        each = designs[at.design]
        groups.setdefault((id(each.subject), each.how, each.signals), []).append(at)
    found = []
    for group in groups.values():
        fits = LARGEST_STACK if gains(designs[group[0].design].subject.model) else 1
        size = min(fits, math.ceil(len(group) / (2 * workers)))
        group.sort(key=lambda at: at.cell.seed)
        found += [tuple(group[i : i + size]) for i in range(0, len(group), size)]
    return sorted(found, key=lambda stack: stack[0].cell.seed)


def _study(number: int, each: Design, store: Store, done: Conducted, notes: list[str]) -> Study:
    found = {at: store.get(key) for at, key in each.keys.items()}
    failed = [(at.recipe, at.cell, error) for at, error in done.failed.items() if at.design == number]
    what = each.subject
    return Study(
        what.name,
        what.data_name,
        what.data.chance,
        each.how,
        each.seeds,
        each.rates,
        tuple(each.plans),
        tuple(Run.read(name, cell, result) for (name, cell), result in found.items() if result is not None),
        each.bar * what.data.chance,
        each.left_out,
        tuple(failed),
        done.trained,
        tuple(dict.fromkeys(notes)),
    )


def _is_there(worker: Worker, store: Store, at: At, key: Mapping[str, Any]) -> bool:
    return has(store.get(key), worker.designs[at.design].signals)


def _waited(worker: Worker, store: Store, left: Mapping[At, Mapping[str, Any]]) -> list[At]:
    """What another run works on: wait until it has all of it, or has let go of some."""
    while missing := [at for at, key in left.items() if not _is_there(worker, store, at, key)]:
        with store.claim(left[missing[0]]) as free:
            if free:
                return missing
        time.sleep(AGAIN)
    return []


def _check_that_it_travels(worker: Worker) -> None:
    """To other processes.

    Raises:
        BadInput: the function that builds a model cannot be found there.
    """
    at_prompt = not hasattr(sys.modules["__main__"], "__file__")
    nets = {id(each.subject): each.subject for each in worker.designs}
    try:
        pickle.dumps(worker)
        stay = [what for what in nets.values() if at_prompt and getattr(what.net, "__module__", "") == "__main__"]
    except (pickle.PicklingError, AttributeError, TypeError):
        stay = list(nets.values())
    if stay:
        raise BadInput(
            f"{stay[0].name} cannot be found by other processes. Define it at the top of a file and import it, "
            "or ask for workers=1."
        )


def _silent(_: str) -> None:
    pass
