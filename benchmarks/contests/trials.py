"""The trials of one recipe in one contest: those that are not in the store are trained, all at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fanin.call import bind
from fanin.errors import FaninError
from fanin.experiments.criterion import final_loss
from fanin.experiments.data import DATA, Data
from fanin.experiments.nets import NETS
from fanin.experiments.store import Store
from fanin.experiments.together import train_together
from fanin.frameworks.torch import Traced, sweep, trace, write_
from fanin.plans import Plan, make_plan

from .contest import Contest


@dataclass(frozen=True)
class Run:
    """One training run."""

    seed: int
    rate: float
    losses: tuple[float, ...]
    diverged_at: int | None

    @property
    def final(self) -> float:
        """The loss at the end."""
        return final_loss(self.losses, self.diverged_at)


@dataclass(frozen=True)
class Outcome:
    """A recipe's runs, or why there are none."""

    contest: str
    recipe: str
    chance: float
    runs: tuple[Run, ...] = ()
    left_out: str = ""
    trained: int = 0  # that were not in the store


def run(contest: Contest, recipe: str, seeds: Sequence[int], folder: Path, stored: bool = False) -> Outcome:
    """All seeds and rates of a recipe; with `stored`, only if all of them are in the store."""
    data, net, traced = prepared(contest.net, contest.data)
    try:
        example = (torch.from_numpy(data.inputs[:2]),)
        plan = make_plan(traced.graph, recipe, sweep=sweep(traced, net, example))
    except FaninError as error:
        return Outcome(contest.name, recipe, data.chance, left_out=str(error))
    store = Store(folder)
    cells = {(seed, rate): key_of(contest, plan, seed, rate) for seed in seeds for rate in contest.rates}
    missing = [cell for cell, key in cells.items() if store.get(key) is None]
    if stored and missing:
        return Outcome(contest.name, recipe, data.chance, left_out="not run yet")
    train(contest, plan, missing, store)
    found = {cell: store.get(key) for cell, key in cells.items()}
    runs = tuple(Run(*cell, tuple(r["losses"]), r["diverged_at"]) for cell, r in found.items() if r)
    return Outcome(contest.name, recipe, data.chance, runs, trained=len(missing))


def train(contest: Contest, plan: Plan, cells: Sequence[tuple[int, float]], store: Store) -> None:
    """Start each model as its seed says, train them together, and store what came out."""
    if not cells:
        return
    data, net, _ = prepared(contest.net, contest.data)
    started = {seed: start(net, plan, seed) for seed, _ in cells}
    seeds, rates = zip(*cells, strict=True)
    ended = train_together(net, [started[seed] for seed in seeds], seeds, rates, data, contest.training)
    for (seed, rate), (losses, diverged_at) in zip(cells, ended, strict=True):
        store.put(key_of(contest, plan, seed, rate), {"losses": losses, "diverged_at": diverged_at})


def start(net: nn.Module, plan: Plan, seed: int) -> dict[str, torch.Tensor]:
    """The parameters with which the plan starts the net."""
    write_(net, plan, seed)
    return {name: w.detach().clone() for name, w in net.named_parameters()}


def key_of(contest: Contest, plan: Plan, seed: int, rate: float) -> dict[str, Any]:
    """All that decides a trial; what the recipe is called does not, and what it decides does."""
    entries = {entry["path"]: entry["initializer"] for entry in plan.to_dict()["parameters"]}
    return {
        "net": contest.net,
        "data": contest.data,
        "data_digest": digest(contest.data),
        "plan": sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest(),
        "training": replace(contest.training, learning_rate=rate).to_dict(),
        "seed": seed,
        "torch": torch.__version__,
    }


@lru_cache(maxsize=2)
def prepared(net: str, data: str) -> tuple[Data, nn.Module, Traced]:
    """The data, and the net traced for them."""
    found = data_named(data)
    built = bind("net", net, NETS)(found)
    return found, built, trace(built, torch.from_numpy(found.inputs[:2]))


@lru_cache(maxsize=16)
def data_named(data: str) -> Data:
    return bind("data", data, DATA)()


@lru_cache(maxsize=16)
def digest(data: str) -> str:
    """Of the training set: text depends on the version of Python."""
    found = data_named(data)
    return sha256(found.inputs.tobytes() + found.targets.tobytes()).hexdigest()[:16]
