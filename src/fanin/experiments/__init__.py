"""EVIDENCE: starts compared by real training.

A `Trial` is one training run, a function of its `TrialSpec` (net, start, seed, training); a `Study` is trials over the
same data and batches, and what can be said of them. `run_trials` runs them in processes.
"""

from fanin.experiments.runner import run_trials
from fanin.experiments.study import Spread, Study, Training, Trial, TrialSpec

__all__ = ["Spread", "Study", "Training", "Trial", "TrialSpec", "run_trials"]
