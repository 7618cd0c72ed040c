"""Jobs done side by side, as tasks of a Ray cluster."""

from __future__ import annotations

import importlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from fanin.errors import BadInput, FaninError, MissingExtra
from fanin.experiments.engines.engine import TRIES, Answer, Job, Tell, Words, Work
from fanin.stream.parallel import cores

OFTEN: Final = 0.5  # seconds between two words on progress, and between two looks at it
WHERE_IT_LISTENS: Final = "RAY_ADDRESS"  # the variable by which Ray itself finds a cluster


@contextmanager
def on_ray(workers: int | None, address: str | None) -> Iterator[OnRay]:
    """A cluster: the one that this process is connected to, the one at the address, or one on this machine alone.

    Args:
        workers: tasks at once; as many as the cluster has CPUs by default.
        address: "auto", "HOST:PORT", or "ray://HOST:PORT". RAY_ADDRESS counts, too.

    Raises:
        MissingExtra: Ray is not installed.
        BadInput: no cluster is at the address.
    """
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise MissingExtra("Ray", "ray", "engine='ray'") from error
    ours = not ray.is_initialized()
    if ours:
        _join(ray, workers, address or os.environ.get(WHERE_IT_LISTENS))
    try:
        yield OnRay(workers or max(1, int(ray.cluster_resources().get("CPU", 1))))
    finally:
        if ours:
            ray.shutdown()


def _join(ray: Any, workers: int | None, address: str | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        ray.init(num_cpus=workers or cores(), include_dashboard=False, **quiet)
        return
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        said = str(error).strip().partition("\n")[0]
        raise BadInput(
            f"No Ray cluster answers at {address!r}: {said} Start one with `ray start --head`, or leave the address "
            "out: one of this machine is started then."
        ) from error


@dataclass(frozen=True)
class OnRay:
    """Tasks of one CPU each.

    A task whose process or machine dies is tried again by Ray, on another. Answers come back to this process, whose
    disk the others need not see.
    """

    workers: int
    near: bool = False

    def __call__(
        self,
        jobs: Sequence[Job],
        work: Work[Job, Answer],
        *,
        on_done: Callable[[Job, Answer], None],
        on_lost: Callable[[Job, str], None],
        on_progress: Tell,
    ) -> None:
        """See `Engine`.

        Raises:
            BadInput: the work cannot be sent to other processes.
        """
        ray: Any = importlib.import_module("ray")
        told = ray.remote(num_cpus=0)(_Told).remote()
        task = ray.remote(num_cpus=1, max_retries=TRIES - 1)(_do)
        try:
            sent = ray.put(work)
        except TypeError as error:
            raise BadInput(f"What builds the model cannot be sent to other machines: {error}") from error
        todo, running, counted = deque(enumerate(jobs)), dict[Any, Any](), 0
        try:
            while todo or running:
                while todo and len(running) < self.workers:
                    number, job = todo.popleft()
                    running[task.remote(sent, job, number, told)] = job
                ended, _ = ray.wait(list(running), timeout=OFTEN)
                now, words = ray.get(told.heard.remote())
                on_progress(now - counted, words)
                counted = now
                for ref in ended:
                    job = running.pop(ref)
                    try:
                        answer: Answer = ray.get(ref)
                    except ray.exceptions.RayTaskError as error:
                        raise _plain(error.cause) from error
                    except ray.exceptions.RayError as error:
                        on_lost(job, f"its process ended, {TRIES} times: {type(error).__name__}")
                    else:
                        on_done(job, answer)
        finally:
            for ref in running:
                ray.cancel(ref, force=True)
            ray.kill(told)


class _Told:
    """An actor that knows how far every job is, whoever works on it: a second try takes the first one's place."""

    def __init__(self) -> None:
        self.by_job: dict[int, int] = {}
        self.words: list[Any] = []

    def set(self, job: int, amount: int, words: Words) -> None:
        self.by_job[job] = amount
        self.words += words

    def heard(self) -> tuple[int, Words]:
        """How much is done in all, and the words since this was last asked."""
        words, self.words = self.words, []
        return sum(self.by_job.values()), words


def _do(work: Work[Any, Any], job: Any, number: int, told: Any) -> Any:
    """What a task does."""
    done, unsaid, last = 0, list[Any](), time.monotonic()

    def tell(amount: int, words: Words) -> None:
        nonlocal done
        done += amount
        unsaid.extend(words)
        if time.monotonic() > last + OFTEN:
            send()

    def send() -> None:
        nonlocal unsaid, last
        told.set.remote(number, done, unsaid)
        unsaid, last = [], time.monotonic()

    answer = work(job, tell)
    send()
    return answer


def _plain(error: BaseException) -> BaseException:
    """As other engines raise it."""
    return error if isinstance(error, FaninError) else RuntimeError(f"{type(error).__name__}: {error}")
