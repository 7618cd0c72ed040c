"""Which start trains nets that are hard to start: real training, every recipe at its own best learning rate.

    python benchmarks/start.py                                   all contests, about an hour on two cores
    python benchmarks/start.py --only "ReLU MLP, 100 layers"     these
    python benchmarks/start.py --quick                           few steps, one rate: does it run?
    python benchmarks/start.py --write                           also the table of docs/start.md

All recipes of a contest see the same data, the same batches and the same number of steps, with every seed and every
learning rate. All seeds and rates of a recipe are trained as one stack of models. Each result is stored under a hash of
all that decides it, the plan included: a run that was stopped goes on, and a recipe that changed runs anew.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import torch
from contests import CONTESTS, Contest
from contests.table import page
from contests.trials import Outcome, run
from page import Section

from fanin.call import parse_call
from fanin.plans import RECIPES
from fanin.stream.parallel import cores

PAGE = Path(__file__).parents[1] / "docs" / "start.md"
STORE = Path(__file__).parents[1] / ".start"
SEEDS = 3
Job = tuple[Contest, str]


def jobs(contests: Sequence[Contest]) -> tuple[list[Job], list[Outcome]]:
    """What is to be run; and what cannot be, as there is no such recipe."""
    every = [(contest, recipe) for contest in contests for recipe in contest.recipes]
    known = [job for job in every if parse_call(job[1])[0] in RECIPES]
    return known, [
        Outcome(contest.name, recipe, 0.0, left_out="there is no such recipe")
        for contest, recipe in every
        if (contest, recipe) not in known
    ]


def run_all(
    todo: Sequence[Job], seeds: Sequence[int], folder: Path, workers: int, stored: bool = False
) -> Iterator[Outcome]:
    """Outcomes as they come."""
    if workers <= 1 or stored:
        yield from (run(contest, recipe, seeds, folder, stored) for contest, recipe in todo)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=quiet) as pool:
        waiting = [pool.submit(run, contest, recipe, seeds, folder) for contest, recipe in todo]
        try:
            for future in as_completed(waiting):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def quiet() -> None:
    """A process computes on one core, and takes numbers below 1e-38 for 0: a dying signal costs no more than others."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def cost(job: Job, seeds: int) -> float:
    """Seconds, about."""
    contest, _ = job
    return contest.milliseconds / 1000 * contest.training.steps * seeds * len(contest.rates)


class Progress:
    """A line for each outcome, with the time left by what those that were trained took."""

    def __init__(self, todo: Sequence[Job], seeds: int, workers: int) -> None:
        self.costs = {(contest.name, recipe): cost((contest, recipe), seeds) for contest, recipe in todo}
        self.left, self.total, self.trained = sum(self.costs.values()), sum(self.costs.values()), 0.0
        self.workers, self.started = workers, time.monotonic()

    def tell(self, outcome: Outcome) -> None:
        seconds = self.costs[outcome.contest, outcome.recipe]
        self.left = max(0.0, self.left - seconds)
        self.trained += seconds if outcome.trained else 0.0
        each = (time.monotonic() - self.started) / self.trained if self.trained else 1 / self.workers
        what = outcome.left_out or f"{outcome.trained} trained, {len(outcome.runs) - outcome.trained} from the store"
        print(
            f"{1 - self.left / self.total:4.0%}  {self.left * each / 60:3.0f} min left  "
            f"{outcome.contest}, {outcome.recipe}: {what}",
            file=sys.stderr,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CONTESTS, default=tuple(CONTESTS), metavar="NET")
    parser.add_argument("--recipes", nargs="+", metavar="RECIPE", help="of each contest's recipes, only these")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of weights and batches")
    parser.add_argument("--quick", action="store_true", help="few steps and one rate: does it run?")
    parser.add_argument("--workers", type=int, default=cores(), help="processes")
    parser.add_argument("--store", type=Path, default=STORE, help="the folder of results")
    parser.add_argument("--stored", action="store_true", help="train nothing: only what the store has whole")
    parser.add_argument("--write", action="store_true", help=f"also docs/{PAGE.name}")
    asked = parser.parse_args()
    quiet()
    contests = [CONTESTS[name].quick() if asked.quick else CONTESTS[name] for name in asked.only]
    todo, outcomes = jobs(contests)
    if asked.recipes:
        todo = [job for job in todo if job[1] in asked.recipes]
    progress = Progress(todo, asked.seeds, asked.workers)
    for outcome in run_all(todo, range(asked.seeds), asked.store, asked.workers, asked.stored):
        outcomes.append(outcome)
        progress.tell(outcome)
    section = Section("start", "numpy", "torch", "scikit-learn", page=PAGE)
    for line in page(contests, outcomes):
        section.say(line)
    if asked.write:
        section.write()


if __name__ == "__main__":
    main()
