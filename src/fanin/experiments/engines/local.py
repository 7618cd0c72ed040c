"""Jobs done side by side, in processes of one machine."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final

from fanin.errors import BadInput, FaninError
from fanin.experiments.engines.engine import TRIES, Answer, Job, Tell, Words, Work
from fanin.stream.parallel import cores

OFTEN: Final = 0.1  # seconds between two words on progress


@contextmanager
def local(workers: int | None, address: str | None) -> Iterator[Local]:
    """Processes of this machine, as many as it has cores by default.

    Raises:
        BadInput: an address, which only a cluster has.
    """
    if address is not None:
        raise BadInput(f"address {address!r} is a Ray cluster's, but the engine is 'local'. Ask for engine='ray'.")
    yield Local(cores() if workers is None else workers)


@dataclass(frozen=True)
class Local:
    """Processes of one machine; with one worker, this process itself.

    A process that dies takes nothing but its job with it, which another one tries again. Processes end by themselves
    when this one is killed: the idle ones at once, the others when they next tell of their work.
    """

    workers: int
    near: bool = True

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
            BadInput: processes cannot be started.
        """
        if self.workers <= 1:
            for job in jobs:
                on_done(job, work(job, on_progress))
            return
        todo, deaths = deque(jobs), Counter[int]()

        def buried(worker: _Worker, code: int) -> _Worker:
            """Another in its place, for its job, too, unless that has killed it before."""
            job = worker.job.pop()
            worker.end()
            deaths[id(job)] += 1
            if deaths[id(job)] < TRIES:
                todo.appendleft(job)
            else:
                on_lost(job, f"its process ended with exit code {code}, {TRIES} times")
            return _Worker(work)

        crew = [_Worker(work) for _ in range(min(self.workers, len(jobs)))]
        try:
            while todo or any(worker.busy for worker in crew):
                for worker in [worker for worker in crew if not worker.busy][: len(todo)]:
                    worker.give(todo.popleft())
                for ready in wait([worker.connection for worker in crew if worker.busy]):
                    at = next(i for i, worker in enumerate(crew) if worker.connection is ready)
                    kind, content = crew[at].hear()
                    if kind == "told":
                        on_progress(*content)
                    elif kind == "done":
                        on_done(crew[at].job.pop(), content)
                    elif kind == "raised":
                        raise content
                    elif kind == "died":
                        crew[at] = buried(crew[at], content)
        finally:
            for worker in crew:
                worker.end()


class _Worker:
    """One process and the job that it has."""

    def __init__(self, work: Work[Any, Any]) -> None:
        # A fresh interpreter: forking one that has started threads is not safe.
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(work, theirs, os.getpid()), daemon=True)
        self.process.start()
        theirs.close()  # so that its death is heard as the end of the file
        self.started = False
        self.job: list[Any] = []

    @property
    def busy(self) -> bool:
        return bool(self.job)

    def give(self, job: Any) -> None:
        self.job.append(job)
        with suppress(BrokenPipeError, ConnectionError):  # it has died, which `hear` will find
            self.connection.send(job)

    def hear(self) -> tuple[str, Any]:
        try:
            kind, content = self.connection.recv()
        except (EOFError, ConnectionError) as error:
            self.process.join()
            if not self.started:
                raise BadInput(
                    f"A worker process could not start (exit code {self.process.exitcode}; what it said is above). "
                    "In a script, call compare below `if __name__ == '__main__':`, as every process reads the script "
                    "again; and define what it needs in a file. Or ask for workers=1."
                ) from error
            return "died", self.process.exitcode
        self.started = True
        return kind, content

    def end(self) -> None:
        """Kill it, as nothing it has stored can be harmed."""
        self.connection.close()
        if self.process.pid is not None:
            self.process.kill()
            self.process.join()


def _serve(work: Work[Any, Any], connection: Connection[Any, Any], parent: int) -> None:
    """What a process does: job after job until nobody is there to give one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and ends all

    untold, unsaid, last = 0, list[Any](), time.monotonic()

    def tell(amount: int, words: Words) -> None:
        nonlocal untold, last
        if os.getppid() != parent:
            raise SystemExit
        untold += amount
        unsaid.extend(words)
        if time.monotonic() > last + OFTEN:
            send()

    def send() -> None:
        nonlocal untold, last
        connection.send(("told", (untold, unsaid)))
        untold, last = 0, time.monotonic()
        unsaid.clear()

    with suppress(EOFError, ConnectionError):
        connection.send(("ready", None))
        while True:
            job = connection.recv()
            try:
                answer = work(job, tell)
            except FaninError as error:
                connection.send(("raised", error))
            except ConnectionError:
                raise
            except Exception as error:  # noqa: BLE001  # raised in the parent; any may be one that cannot be pickled
                connection.send(("raised", RuntimeError(f"{type(error).__name__}: {error}")))
            else:
                send()
                connection.send(("done", answer))
