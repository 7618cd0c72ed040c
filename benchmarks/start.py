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
from contests.summary import cells, summary, verdict
from contests.trials import Outcome, run
from page import Section

from fanin.call import parse_call
from fanin.plans import RECIPES
from fanin.stream.parallel import cores

PAGE = Path(__file__).parents[1] / "docs" / "start.md"
STORE = Path(__file__).parents[1] / ".start"
SEEDS = 3
HEAD = ("recipe", "runs that train", "at the best rate", "best rate", "loss at the end", "steps to the bar")
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


def run_all(todo: Sequence[Job], seeds: Sequence[int], folder: Path, workers: int) -> Iterator[Outcome]:
    """Outcomes as they come."""
    if workers <= 1:
        yield from (run(contest, recipe, seeds, folder) for contest, recipe in todo)
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


def tell(outcome: Outcome, done: float, total: float, started: float) -> None:
    """A line of progress with the time left."""
    left = (time.monotonic() - started) * (total - done) / done
    what = outcome.left_out or f"{outcome.trained} trained, {len(outcome.runs) - outcome.trained} from the store"
    print(
        f"{done / total:4.0%}  {left / 60:3.0f} min left  {outcome.contest}, {outcome.recipe}: {what}", file=sys.stderr
    )


def table(contest: Contest, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """A contest's part of the page."""
    ran = [o for o in outcomes if o.runs]
    how = contest.training
    yield f"\n### {contest.name}\n"
    if not ran:
        yield "No recipe could start it."
        return
    chance = ran[0].chance
    yield (
        f"`{contest.net}` on `{contest.data}`; {how.steps} steps of {how.batch_size}, {how.optimizer}, rates "
        f"{', '.join(f'{r:g}' for r in contest.rates)}. Chance {chance:.3f}; the bar is {contest.bar:g} of it, "
        f"{contest.bar * chance:.3f}.\n"
    )
    rows = sorted((summary(contest, o) for o in ran), key=lambda row: row.mean)
    yield f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}"
    yield from (f"| {' | '.join(cells(row))} |" for row in rows)
    yield f"\nauto: {verdict(chance, rows)}."
    yield from (f"\n{o.recipe} is left out: {o.left_out}" for o in outcomes if o.left_out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CONTESTS, default=tuple(CONTESTS), metavar="NET")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of weights and batches")
    parser.add_argument("--quick", action="store_true", help="few steps and one rate: does it run?")
    parser.add_argument("--workers", type=int, default=cores(), help="processes")
    parser.add_argument("--store", type=Path, default=STORE, help="the folder of results")
    parser.add_argument("--write", action="store_true", help=f"also docs/{PAGE.name}")
    asked = parser.parse_args()
    quiet()
    contests = [CONTESTS[name].quick() if asked.quick else CONTESTS[name] for name in asked.only]
    todo, outcomes = jobs(contests)
    total, done, started = sum(cost(job, asked.seeds) for job in todo), 0.0, time.monotonic()
    costs = {(contest.name, recipe): cost((contest, recipe), asked.seeds) for contest, recipe in todo}
    for outcome in run_all(todo, range(asked.seeds), asked.store, asked.workers):
        done += costs[outcome.contest, outcome.recipe]
        outcomes.append(outcome)
        tell(outcome, done, total, started)
    section = Section("start", "numpy", "torch", "scikit-learn", page=PAGE)
    for contest in contests:
        for line in table(contest, [o for o in outcomes if o.contest == contest.name]):
            section.say(line)
    if asked.write:
        section.write()


if __name__ == "__main__":
    main()
