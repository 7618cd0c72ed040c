"""Trials as tasks of a real Ray cluster on this machine: the same results, and nothing lost when a worker is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fanin
from fanin.errors import BadInput
from fanin.experiments.engines import ENGINES, Tell, Words

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own, of its sockets and of versions to come

SMALL: dict[str, Any] = {
    "recipes": ["he", "lecun"],
    "seeds": 2,
    "learning_rates": [0.01, 0.03],
    "steps": 20,
    "progress": False,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def curves(study: fanin.experiments.Study) -> dict[Any, Any]:
    return {(run.recipe, run.seed, run.rate): run.losses for run in study.runs}


@pytest.mark.usefixtures("cluster")
def test_a_trial_is_the_same_wherever_it_runs_and_is_kept_here(tmp_path: Path) -> None:
    there = fanin.compare("perceptron(depth=4, width=16)", "digits", **SMALL, engine="ray", to=tmp_path)
    here = fanin.compare("perceptron(depth=4, width=16)", "digits", **SMALL, workers=1)
    assert there.trained == 8
    assert curves(there) == curves(here)
    again = fanin.compare("perceptron(depth=4, width=16)", "digits", **SMALL, to=tmp_path, workers=1)
    assert again.trained == 0


def answer_with(seconds: float, folder: Path) -> Callable[[int, Tell], tuple[int, int]]:
    """Work that says who does it, takes its time, and answers with twice the job."""

    def work(job: int, tell: Tell) -> tuple[int, int]:
        (folder / f"{job}-{os.getpid()}").touch()
        for at in range(10):
            time.sleep(seconds / 10)
            tell(1, [(job, at)])
        return job, 2 * job

    return work


@pytest.mark.usefixtures("cluster")
def test_a_worker_that_is_killed_in_the_middle_costs_no_job_and_counts_none_twice(tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    told: list[int] = []
    heard: list[tuple[int, int]] = []
    killed: list[int] = []

    def kill_one() -> None:
        while not (found := sorted(tmp_path.iterdir())):
            time.sleep(0.05)
        time.sleep(1.0)  # in the middle of its work
        killed.append(int(found[0].name.partition("-")[2]))
        os.kill(killed[0], signal.SIGKILL)

    def hear(amount: int, words: Words) -> None:
        told.append(amount)
        heard.extend(words)

    threading.Thread(target=kill_one, daemon=True).start()
    with ENGINES["ray"](None, None) as engine:
        assert (engine.workers, engine.near) == (2, False)
        engine(
            range(4),
            answer_with(3.0, tmp_path),
            on_done=lambda _, answer: done.append(answer),
            on_lost=lambda job, how: pytest.fail(f"{job}: {how}"),
            on_progress=hear,
        )
    assert sorted(done) == [(0, 0), (1, 2), (2, 4), (3, 6)]
    assert len(killed) == 1
    assert len(list(tmp_path.iterdir())) == 5  # one job was begun twice
    assert sum(told) <= 40
    assert set(heard) <= {(job, at) for job in range(4) for at in range(10)}
    assert {job for job, _ in heard} == set(range(4))


def ends_its_process(job: int, tell: Tell) -> int:
    if job == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return job


def raises(job: int, tell: Tell) -> int:
    raise ZeroDivisionError("of its own")


@pytest.mark.usefixtures("cluster")
def test_a_job_that_kills_every_process_is_given_up_and_the_others_are_done() -> None:
    done: list[int] = []
    lost: list[tuple[int, str]] = []
    with ENGINES["ray"](2, None) as engine:
        engine(
            range(3),
            ends_its_process,
            on_done=lambda _, answer: done.append(answer),
            on_lost=lambda job, how: lost.append((job, how)),
            on_progress=lambda amount, words: None,
        )
    assert sorted(done) == [0, 2]
    assert [job for job, _ in lost] == [1]
    assert "its process ended, 2 times" in lost[0][1]


@pytest.mark.usefixtures("cluster")
def test_what_is_raised_there_is_raised_here() -> None:
    with ENGINES["ray"](2, None) as engine, pytest.raises(RuntimeError, match="ZeroDivisionError: of its own"):
        engine(range(2), raises, on_done=print, on_lost=print, on_progress=print)


def test_an_address_where_nobody_answers_is_said_with_what_to_do(tmp_path: Path) -> None:
    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(BadInput, match=r"No Ray cluster answers at 'auto'.*ray start --head"):
        fanin.compare("perceptron(depth=4, width=16)", "digits", **SMALL, engine="ray", address="auto", to=tmp_path)


def test_an_address_is_for_a_cluster() -> None:
    with pytest.raises(BadInput, match="Ask for engine='ray'"):
        fanin.compare("perceptron(depth=4, width=16)", "digits", **SMALL, address="auto")
