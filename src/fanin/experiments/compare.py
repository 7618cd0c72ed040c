"""Recipes compared by real training: plan, look what the store has, train the rest, and read it back."""

from __future__ import annotations

import math
import pickle
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch

from fanin.errors import BadInput, FaninError, UnknownName
from fanin.experiments.comparison import BAR, Study
from fanin.experiments.engines import ENGINES, Engine
from fanin.experiments.optimizers import OPTIMIZERS
from fanin.experiments.progress import bar as progress_bar
from fanin.experiments.stack import Report, Stack, Worker, gains
from fanin.experiments.store import Store, name_of
from fanin.experiments.study import Training
from fanin.experiments.subject import Subject, name_of_function, subject
from fanin.experiments.trial import Cell, Run
from fanin.plans import Plan
from fanin.plans.recipes import recipe as recipe_named
from fanin.stream import key

LARGEST_STACK: Final = 16  # models: the gain levels off there (docs/compare.md), and a stack is what a kill loses
AGAIN: Final = 0.5  # seconds between two looks at trials that another run works on
RATES: Final = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)


class Stopped(KeyboardInterrupt):
    """Ctrl-C, with how far it came and how to go on."""


@dataclass(frozen=True)
class Grid:
    """Every seed at every rate."""

    seeds: tuple[int, ...]
    rates: tuple[float, ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Seed by seed, so that a run that is stopped has whole seeds."""
        return tuple(Cell(seed, rate) for seed in self.seeds for rate in self.rates)


def compare(
    net: Any,
    data: Any,
    *,
    recipes: Sequence[Any] | Mapping[str, Any],
    seeds: int | Sequence[int] = 5,
    learning_rates: Sequence[float] = RATES,
    steps: int = 400,
    batch_size: int = 64,
    optimizer: str = "sgd",
    momentum: float = 0.9,
    to: str | Path | None = None,
    engine: str = "local",
    address: str | None = None,
    workers: int | None = None,
    progress: bool = True,
    bar: float = BAR,
) -> Study:
    """See `fanin.compare`."""
    if engine not in ENGINES:
        raise UnknownName("engine", engine, ENGINES)
    what, grid = subject(net, data), _grid(seeds, learning_rates)
    how = _training(what, steps, batch_size, optimizer, momentum)
    if workers is not None and (type(workers) is not int or workers < 1):
        raise BadInput(f"workers must be an integer, at least 1; got {workers!r}.")
    named = _named(recipes)
    with torch.random.fork_rng(devices=[]), ExitStack() as stack:  # a net may draw when it is traced
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fanin-compare-")) if to is None else to
        crew = stack.enter_context(ENGINES[engine](workers, address))
        return _compare(what, grid, how, named, Path(folder), crew, progress, bar)


def _compare(
    what: Subject,
    grid: Grid,
    how: Training,
    recipes: Mapping[str, Any],
    folder: Path,
    engine: Engine,
    progress: bool,
    bar: float,
) -> Study:
    notes: list[str] = []
    store = Store(folder, _Collected(notes))
    plans, left_out = _plans(what, recipes)
    worker = Worker(what, how, Store(folder, _silent))  # what is damaged is said once, here
    if engine.near and engine.workers > 1:
        _check_that_it_travels(worker)
    store.check()
    keys = {(name, cell): worker.key(plan, cell) for name, plan in plans.items() for cell in grid.cells}
    trained, failed = _train(worker, plans, keys, store, engine, progress)
    found = {at: store.get(what_decides) for at, what_decides in keys.items()}
    return Study(
        what.name,
        what.data_name,
        what.data.chance,
        how,
        grid.seeds,
        grid.rates,
        tuple(plans),
        tuple(Run.read(name, cell, result) for (name, cell), result in found.items() if result is not None),
        bar * what.data.chance,
        left_out,
        tuple((name, cell, error) for (name, cell), error in failed.items()),
        trained,
        tuple(dict.fromkeys(notes)),
    )


At = tuple[str, Cell]


def _train(
    worker: Worker,
    plans: Mapping[str, Plan],
    keys: Mapping[At, Mapping[str, Any]],
    store: Store,
    engine: Engine,
    progress: bool,
) -> tuple[int, dict[At, str]]:
    """How many trials were run, and those that failed; afterwards the store has all others."""
    first = {
        name_of(what): at for at, what in reversed(list(keys.items()))
    }  # recipes that decide alike share their trials
    missing = [at for at in keys if at in set(first.values()) and store.get(keys[at]) is None]
    trained, failed = 0, dict[At, str]()

    def done(stack: Stack, report: Report) -> None:
        nonlocal trained
        for cell, result in report.results:
            store.put(keys[stack.recipe, cell], result)
        trained += report.trained
        failed.update({(stack.recipe, cell): error for cell, error in report.failed})

    def lost(stack: Stack, how: str) -> None:
        failed.update({(stack.recipe, cell): how for cell in stack.cells})

    had = len(first) - len(missing)
    what = f"training {len(missing)} nets" + (f", {had} are in the store" if had else "")
    with progress_bar(what, len(missing) * worker.how.steps, progress) as advance:
        try:
            while missing:
                stacks = _stacks(worker, plans, missing, engine.workers)
                work = worker if engine.near else replace(worker, store=None)
                engine(stacks, work, on_done=done, on_lost=lost, on_progress=advance)
                missing = [at for at in missing if at not in failed and store.get(keys[at]) is None]
                missing = _waited(store, {at: keys[at] for at in missing})
        except KeyboardInterrupt as stop:
            kept = sum(store.get(keys[at]) is not None for at in first.values())
            raise Stopped(
                f"Stopped: {kept} of {len(first)} trials are done and kept in {store.folder}. "
                "The same call goes on from there."
            ) from stop
    return trained, failed


def _waited(store: Store, left: Mapping[At, Mapping[str, Any]]) -> list[At]:
    """What another run works on: wait until it has all of it, or has let go of some."""
    while missing := [at for at, what in left.items() if store.get(what) is None]:
        with store.claim(left[missing[0]]) as free:
            if free:
                return missing
        time.sleep(AGAIN)
    return []


def _stacks(worker: Worker, plans: Mapping[str, Plan], missing: Sequence[At], workers: int) -> list[Stack]:
    """Trials of one recipe together: as many as pay, but some for every worker, and early seeds first."""
    fits = LARGEST_STACK if gains(worker.subject.model) else 1
    size = min(fits, math.ceil(len(missing) / (2 * workers)))
    stacks = []
    for name, plan in plans.items():
        own = [cell for at, cell in missing if at == name]
        stacks += [Stack(name, plan, tuple(own[i : i + size])) for i in range(0, len(own), size)]
    return sorted(stacks, key=lambda stack: stack.cells[0].seed)


def _plans(what: Subject, recipes: Mapping[str, Any]) -> tuple[dict[str, Plan], dict[str, str]]:
    """By name, and why others are left out: a scheme for residual branches, of a net that has none.

    Raises:
        UnknownName: no recipe of that name.
        BadInput: none of them can serve the net.
    """
    for recipe in recipes.values():
        if isinstance(recipe, str) and recipe != "as_built":
            recipe_named(recipe)
    _ = what.traced
    plans, left_out = dict[str, Plan](), dict[str, str]()
    for name, recipe in recipes.items():
        try:
            plans[name] = what.plan(recipe)
        except FaninError as error:
            left_out[name] = str(error)
    if not plans:
        raise BadInput("No recipe can serve this net. " + " ".join(f"{n}: {why}" for n, why in left_out.items()))
    return plans, left_out


def _named(recipes: Sequence[Any] | Mapping[str, Any]) -> dict[str, Any]:
    """By a name of its own each.

    Raises:
        BadInput: none, or two of one name.
    """
    if isinstance(recipes, str) or not isinstance(recipes, Sequence | Mapping) or not recipes:
        raise BadInput(f"recipes: expected a list such as ['auto', 'he'], or a dict by name; got {recipes!r}.")
    if isinstance(recipes, Mapping):
        return dict(recipes)
    found: dict[str, Any] = {}
    for recipe in recipes:
        name = recipe if isinstance(recipe, str) else getattr(recipe, "recipe", None) or name_of_function(recipe)
        if name in found:
            raise BadInput(f"recipes: {name!r} is there twice. Name each: recipes={{'mine': …, 'other': …}}.")
        found[name] = recipe
    return found


def _grid(seeds: int | Sequence[int], rates: Sequence[float]) -> Grid:
    """Checked.

    Raises:
        BadInput: none, some twice, or what is no seed or no rate.
    """
    if isinstance(seeds, bool | str) or not isinstance(seeds, int | Sequence):
        raise BadInput(f"seeds: expected how many, such as 5, or a list of them; got {seeds!r}.")
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    for seed in chosen:
        key(seed, "")  # refuses what is no seed
    if isinstance(rates, int | float):
        rates = (rates,)
    if not all(isinstance(r, int | float) and math.isfinite(r) and r > 0 for r in rates):
        raise BadInput(f"learning_rates: expected positive numbers, such as [0.001, 0.01]; got {list(rates)!r}.")
    levels = tuple(float(r) for r in rates)
    for name, given in (("seeds", chosen), ("learning_rates", levels)):
        if not given or len(set(given)) < len(given):
            raise BadInput(f"{name}: expected at least one, and none twice; got {list(given)!r}.")
    return Grid(chosen, tuple(sorted(levels)))


def _training(what: Subject, steps: int, batch_size: int, optimizer: str, momentum: float) -> Training:
    if optimizer not in OPTIMIZERS:
        raise UnknownName("optimizer", optimizer, OPTIMIZERS)
    for name, given in (("steps", steps), ("batch_size", batch_size)):
        if type(given) is not int or given < 1:
            raise BadInput(f"{name} must be an integer, at least 1; got {given!r}.")
    if batch_size > (samples := len(what.data.targets)):
        raise BadInput(f"batch_size is {batch_size}, but {what.data_name} has {samples} samples to train on.")
    if isinstance(momentum, bool) or not isinstance(momentum, int | float) or not 0 <= momentum < 1:
        raise BadInput(f"momentum must be a number in [0, 1); got {momentum!r}.")
    return Training(steps, batch_size, momentum=float(momentum), optimizer=optimizer)


def _check_that_it_travels(worker: Worker) -> None:
    """To other processes.

    Raises:
        BadInput: the function that builds the model cannot be found there.
    """
    net = worker.subject.net
    at_prompt = not hasattr(sys.modules["__main__"], "__file__")
    try:
        pickle.dumps(worker)
        if getattr(net, "__module__", "") != "__main__" or not at_prompt:
            return
    except (pickle.PicklingError, AttributeError, TypeError):
        pass
    raise BadInput(
        f"{worker.subject.name} cannot be found by other processes. Define it at the top of a file and import it, "
        "or ask for workers=1."
    )


def _silent(_: str) -> None:
    pass


@dataclass(frozen=True)
class _Collected:
    """Remembers what it is told."""

    said: list[str]

    def __call__(self, what: str) -> None:
        self.said.append(what)
