"""Run trials side by side in processes of one machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from fanin.experiments.study import Trial, Trials, TrialSpec


def run_trials(
    specs: Sequence[TrialSpec], *, workers: int | None = None, on_done: Callable[[Trial], None] | None = None
) -> Trials:
    """Every trial, in the order of `specs` whatever order they end in.

    Each worker computes on one core: small nets gain more from a second process than from a second thread. An exception
    or Ctrl-C cancels what has not begun.

    Args:
        workers: processes; as many as there are cores by default.
        on_done: called with each trial as it ends.
    """
    workers = min(workers or _cores(), len(specs))
    done: dict[TrialSpec, Trial] = {}
    # A fresh interpreter for each worker: forking one that has started threads is not safe.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_worker) as pool:
        try:
            for future in as_completed([pool.submit(_run, spec) for spec in specs]):
                trial = future.result()
                done[trial.spec] = trial
                if on_done:
                    on_done(trial)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return Trials(tuple(done[spec] for spec in specs))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _worker() -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and ends the pool
    torch.set_num_threads(1)


def _run(spec: TrialSpec) -> Trial:
    from fanin.experiments.training import run_trial

    return run_trial(spec)
