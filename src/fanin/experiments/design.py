"""What a study is to compare: checked and decided before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from fanin.errors import BadInput, FaninError, UnknownName
from fanin.experiments.optimizers import OPTIMIZERS
from fanin.experiments.settings import Training
from fanin.experiments.study import BAR
from fanin.experiments.subject import Subject, name_of_function
from fanin.experiments.trial import Cell, decides
from fanin.plans import Plan
from fanin.plans.recipes import recipe as recipe_named
from fanin.stream import key

RATES: Final = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)


@dataclass(frozen=True, eq=False)
class Design:
    """One study: every plan, from every seed, at every rate.

    Attributes:
        plans: by what their recipes are called.
        left_out: recipes that cannot serve the net, and why.
        bar: the loss that steps are counted to, as a share of chance.
        signals: what flows through the net before and after training is kept, too.
    """

    subject: Subject
    how: Training
    seeds: tuple[int, ...]
    rates: tuple[float, ...]
    plans: Mapping[str, Plan]
    left_out: Mapping[str, str]
    bar: float = BAR
    signals: bool = False

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Seed by seed, so that a run that is stopped has whole seeds."""
        return tuple(Cell(seed, rate) for seed in self.seeds for rate in self.rates)

    @cached_property
    def keys(self) -> dict[tuple[str, Cell], dict[str, Any]]:
        """Of every trial, all that decides it."""
        return {(name, cell): self.key(name, cell) for name in self.plans for cell in self.cells}

    def key(self, recipe: str, cell: Cell) -> dict[str, Any]:
        """Of one trial in the store."""
        import torch

        return decides(self.subject.digest, self.plans[recipe], self.how, cell, torch.__version__)


def design(
    subject: Subject,
    recipes: Sequence[Any] | Mapping[str, Any],
    *,
    seeds: int | Sequence[int] = 5,
    learning_rates: Sequence[float] = RATES,
    steps: int = 400,
    batch_size: int = 64,
    optimizer: str = "sgd",
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    bar: float = BAR,
    signals: bool = False,
) -> Design:
    """Checked, with the plans that the recipes make.

    Raises:
        UnknownName: no recipe or optimizer of that name.
        BadInput: settings that make no sense, or no recipe that can serve the net.
    """
    how = _training(subject, steps, batch_size, optimizer, momentum, weight_decay)
    named = named_recipes(recipes)
    chosen, rates = _seeds(seeds), _rates(learning_rates)
    _number("bar", bar, 0, math.inf)
    if not isinstance(signals, bool):
        raise BadInput(f"signals must be true or false; got {signals!r}.")
    plans, left_out = _plans(subject, named)
    return Design(subject, how, chosen, rates, plans, left_out, float(bar), signals)


def named_recipes(recipes: Sequence[Any] | Mapping[str, Any]) -> dict[str, Any]:
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


def _plans(what: Subject, recipes: Mapping[str, Any]) -> tuple[dict[str, Plan], dict[str, str]]:
    """By name, and why others are left out: a scheme for residual branches, of a net that has none."""
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


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(seeds, bool | str) or not isinstance(seeds, int | Sequence):
        raise BadInput(f"seeds: expected how many, such as 5, or a list of them; got {seeds!r}.")
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    for seed in chosen:
        key(seed, "")  # refuses what is no seed
    return _some("seeds", chosen)


def _rates(rates: Sequence[float]) -> tuple[float, ...]:
    if isinstance(rates, int | float):
        rates = (rates,)
    if not all(isinstance(r, int | float) and math.isfinite(r) and r > 0 for r in rates):
        raise BadInput(f"learning_rates: expected positive numbers, such as [0.001, 0.01]; got {list(rates)!r}.")
    return tuple(sorted(_some("learning_rates", tuple(float(r) for r in rates))))


def _some(name: str, given: tuple[Any, ...]) -> tuple[Any, ...]:
    if not given or len(set(given)) < len(given):
        raise BadInput(f"{name}: expected at least one, and none twice; got {list(given)!r}.")
    return given


def _training(
    what: Subject, steps: int, batch_size: int, optimizer: str, momentum: float, weight_decay: float
) -> Training:
    if optimizer not in OPTIMIZERS:
        raise UnknownName("optimizer", optimizer, OPTIMIZERS)
    for name, given in (("steps", steps), ("batch_size", batch_size)):
        if type(given) is not int or given < 1:
            raise BadInput(f"{name} must be an integer, at least 1; got {given!r}.")
    if batch_size > (samples := len(what.data.targets)):
        raise BadInput(f"batch_size is {batch_size}, but {what.data_name} has {samples} samples to train on.")
    _number("momentum", momentum, 0, 1)
    _number("weight_decay", weight_decay, 0, math.inf)
    return Training(steps, batch_size, momentum=float(momentum), optimizer=optimizer, weight_decay=float(weight_decay))


def _number(name: str, given: float, low: float, below: float) -> None:
    if isinstance(given, bool) or not isinstance(given, int | float) or not low <= given < below:
        raise BadInput(f"{name} must be a number in [{low:g}, {below:g}); got {given!r}.")
