"""Processes that tests interrupt and kill: forked, each in a moment, from one that has imported what takes long."""

from __future__ import annotations

import signal
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import fanin
from fanin.experiments import Study
from fanin.experiments.store import Store

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["fanin.api.compare", "fanin.experiments.subject", "sklearn.datasets", "torch.export._trace"]
)


def start(work: Any, *arguments: Any) -> BaseProcess:
    """A process that does this work, which must be a function of a module that can be imported."""
    process = CONTEXT.Process(target=work, args=arguments)
    process.start()
    return process


def wait(process: BaseProcess, seconds: float = 300) -> int:
    """Its exit code."""
    process.join(seconds)
    assert process.exitcode is not None, f"it has not ended in {seconds} seconds"
    return process.exitcode


def study_of_36(**where: Any) -> Study:
    """Long enough to be interrupted."""
    recipes, rates = ["he", "xavier", "lecun"], [0.01, 0.1]
    return fanin.compare(
        *("perceptron(depth=8, width=16)", "digits"),
        **{"recipes": recipes, "seeds": 6, "learning_rates": rates, "steps": 60, "progress": False, **where},
    )


def compare_36(folder: Path, workers: int, outcome: Path) -> None:
    """Write how many trials were trained, and how many there are; or what is said when it is stopped."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start its background jobs deaf to it
    try:
        study = study_of_36(to=folder, workers=workers)
    except KeyboardInterrupt as stopped:
        outcome.write_text(str(stopped))
    else:
        outcome.write_text(f"{study.trained} {len(study.runs)}")


def put_results(folder: Path, count: int, begun: Any) -> None:
    """One after the other, each with the number of its seed."""
    store = Store(folder)
    begun.set()
    for seed in range(count):
        store.put({"seed": seed}, {"losses": [float(seed)] * 2000})
