"""Pieces of work shared among the cores; every element's value is its own, so how it is shared changes no bit.

The threads wait in between, as starting one takes as long as drawing ten thousands of values. They are never more than
the cores that the process may use, less the caller's own; a forked process has none until it needs them.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TypeVar

SHARE = 1 << 16  # elements: a core needs several times as long for them as it takes to wake a thread

_Piece = TypeVar("_Piece")


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def for_each(task: Callable[[_Piece], None], pieces: Sequence[_Piece]) -> None:
    """`task(piece)` for every piece, on all cores, the caller's thread among them. The task should release the GIL.

    Tasks may call it in turn, and threads may call it at once: a caller waits only for pieces that are being worked on.
    What a task raises, Ctrl-C included, is raised here once the pieces begun have ended; no more are begun then.
    """
    helpers = min(cores(), len(pieces)) - 1
    if helpers < 1:
        for piece in pieces:
            task(piece)
        return
    left, ended = deque(pieces), SimpleQueue[BaseException | None]()

    def work() -> None:
        while True:
            try:
                piece = left.popleft()
            except IndexError:
                return
            try:
                task(piece)
            except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
                ended.put(error)
                _give_up(left, ended)
            else:
                ended.put(None)

    _threads.start(helpers)
    for _ in range(helpers):
        _threads.calls.put(work)
    try:
        work()
        errors = [error for _ in pieces if (error := ended.get()) is not None]
    finally:
        left.clear()  # after an interrupt
    if errors:
        raise errors[0]


def _give_up(left: deque[_Piece], ended: SimpleQueue[BaseException | None]) -> None:
    """Count the pieces that are left as ended."""
    while True:
        try:
            left.popleft()
        except IndexError:
            return
        ended.put(None)


def share_out(task: Callable[[int, int], None], count: int) -> None:
    """`task(start, stop)` over pieces that make up range(count), on as many cores as have a share to do."""
    threads = min(cores(), count // SHARE)
    if threads < 2:
        task(0, count)
        return
    size = max(SHARE // 2, -(-count // (4 * threads)))  # more pieces than threads: a core may be busy otherwise
    for_each(lambda start: task(start, min(start + size, count)), range(0, count, size))


class _Threads:
    """Threads that wait for calls; daemons, so that none keeps the process alive."""

    def __init__(self) -> None:
        self.calls = SimpleQueue[Callable[[], None]]()
        self._started = 0
        self._starting = threading.Lock()

    def start(self, count: int) -> None:
        """See that there are at least so many."""
        if self._started < count:
            with self._starting:
                while self._started < count:
                    threading.Thread(target=_serve, args=(self.calls,), name="fanin", daemon=True).start()
                    self._started += 1


def _serve(calls: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        calls.get()()  # kept in no variable: what it refers to, such as an array, must not outlive it


_threads = _Threads()


def _forget_threads() -> None:
    global _threads  # noqa: PLW0603 - a forked process has none of its parent's threads
    _threads = _Threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
