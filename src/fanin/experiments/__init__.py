"""EVIDENCE: starts compared by real training.

`compare` trains a net from several recipes and gives a `Study`: its `Run`s, and what can be said of them. A `Store`
keeps results on disk; an engine does the work, in processes or on a cluster. To add an engine: a file in `engines/`.
The demonstration has its own small form of it: `Trial`s, functions of their `TrialSpec`, run by `run_trials`.
"""

from fanin.experiments.comparison import Standing, Study
from fanin.experiments.runner import run_trials
from fanin.experiments.store import Store
from fanin.experiments.study import Spread, Training, Trial, Trials, TrialSpec
from fanin.experiments.trial import Run

__all__ = [
    "Run",
    "Spread",
    "Standing",
    "Store",
    "Study",
    "Training",
    "Trial",
    "TrialSpec",
    "Trials",
    "run_trials",
]
