"""A range of elements shared among the cores; every element's value is its own, so how it is shared changes no bit."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

SHARE = 1 << 19  # elements: a core needs some ten times as long for them as it takes to start a thread


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_out(task: Callable[[int, int], None], count: int) -> None:
    """`task(start, stop)` over pieces that make up range(count), the caller's thread included.

    The task should release the GIL. Threads last as long as the call, so that a fork cannot lose them.
    """
    threads = min(cores(), count // SHARE) if count >= 2 * SHARE else 1
    if threads == 1:
        task(0, count)
        return
    size = max(SHARE // 2, -(-count // (4 * threads)))  # more pieces than threads: a core may be busy otherwise
    take_turns(lambda start: task(start, min(start + size, count)), range(0, count, size), threads)


def take_turns(task: Callable[[int], None], items: Iterable[int], threads: int | None = None) -> None:
    """`task(item)` for each, begun in their order by as many threads as there are cores, the caller's included.

    When one raises, Ctrl-C included, the others finish what they have begun, and no more.
    """
    queue = deque(items)
    threads = min(cores() if threads is None else threads, len(queue))

    def work() -> None:
        try:
            while True:
                try:
                    item = queue.popleft()
                except IndexError:
                    return
                task(item)
        except BaseException:
            queue.clear()
            raise

    if threads <= 1:
        work()
        return
    with ThreadPoolExecutor(threads - 1) as pool:
        others = [pool.submit(work) for _ in range(threads - 1)]
        work()
    for other in others:
        other.result()  # raises what it raised
