"""Pieces of work on several threads: each once, errors raised, no deadlock, and a fork or a spawn changes nothing."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
import time
import warnings
import weakref
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from fanin.stream import draw, kernels, key, normal, parallel
from fanin.stream.laws import FORMATS

WEIGHT = key(0, "weight")


@pytest.mark.parametrize("count", [1, 2 * parallel.SHARE - 1, 2 * parallel.SHARE, 10 * parallel.SHARE + 1])
@pytest.mark.parametrize("threads", [1, 2, 3, 64])
def test_pieces_make_up_the_whole(count: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: threads)
    visits = np.zeros(count, np.uint8)

    def visit(start: int, stop: int) -> None:
        visits[start:stop] += 1

    parallel.share_out(visit, count)
    assert (visits == 1).all()


@pytest.fixture
def three_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 3)


@pytest.mark.usefixtures("three_cores")
class TestThreeCores:
    def test_the_threads_wait_for_the_next_call(self) -> None:
        for _ in range(50):
            parallel.for_each(lambda _: time.sleep(1e-4), range(6))
        assert 1 <= sum(thread.name == "fanin" for thread in threading.enumerate()) <= 63  # of all tests here

    def test_an_error_in_any_thread_is_raised_after_the_pieces_begun(self) -> None:
        ended = []

        def fail(piece: int) -> None:
            time.sleep(0.01)  # so that every thread has a piece
            ended.append(piece)
            if piece in (1, 2):
                raise MemoryError

        with pytest.raises(MemoryError):
            parallel.for_each(fail, range(100))
        assert sorted(ended)[:3] == [0, 1, 2]
        assert len(ended) <= 6  # each of three threads may have begun another before it could know

    def test_a_task_may_share_out_in_turn(self) -> None:
        visits = np.zeros((7, 5, 3), int)

        def visit(i: int, j: int, k: int) -> None:
            visits[i, j, k] += 1

        def row(i: int) -> None:
            parallel.for_each(lambda j: parallel.for_each(lambda k: visit(i, j, k), range(3)), range(5))

        parallel.for_each(row, range(7))
        assert (visits == 1).all()

    def test_many_threads_call_at_once(self) -> None:
        expected = normal(WEIGHT, range(300_000), 0.02)
        with ThreadPoolExecutor(6) as pool:
            drawn = list(pool.map(lambda _: normal(WEIGHT, range(300_000), 0.02), range(12)))
        assert all(np.array_equal(values, expected) for values in drawn)

    def test_nothing_is_kept_of_a_call(self) -> None:
        values = np.zeros(10)
        kept = weakref.ref(values)

        def touch(piece: int, of: Any = values) -> None:
            time.sleep(1e-3)
            of[piece] = 1

        parallel.for_each(touch, range(10))
        del values, touch
        deadline = time.monotonic() + 10
        while kept() is not None and time.monotonic() < deadline:  # a thread that found nothing left to do lets go late
            time.sleep(1e-3)
            gc.collect()
        assert kept() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_draws_the_same() -> None:
    """Forked from a fresh process: this one may run the threads of other libraries, which a fork would break."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(drawn_in_a_fork).result(timeout=100) == drawn()


def test_a_spawned_process_draws_the_same() -> None:
    assert draws_in("spawn") == drawn()


def drawn() -> bytes:
    draw._kernels["bfloat16"] = kernels.ready(FORMATS["bfloat16"])
    return normal(WEIGHT, range(3, 400_000), 0.02, dtype="bfloat16").tobytes()


def draws_in(method: str) -> bytes:
    with multiprocessing.get_context(method).Pool(1) as pool:
        return pool.apply_async(drawn).get(timeout=100)


def drawn_in_a_fork() -> bytes:
    parallel.cores = lambda: 3  # this process is of the test alone
    drawn()  # the parent's threads are at work before
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        return draws_in("fork")
