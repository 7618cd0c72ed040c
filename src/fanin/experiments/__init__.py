"""EVIDENCE: starts compared by real training.

`compare` trains a net from several recipes and gives a `Study`: its `Run`s, and what can be said of them; `sweep` does
so over depths, nets, decays, and gives a `Sweep` of studies; `LESSONS` are sweeps with words. A `Store` keeps results
on disk; an engine does the work, in processes or on a cluster. To add an engine: a file in `engines/`.
"""

from fanin.experiments.settings import Training
from fanin.experiments.store import Store
from fanin.experiments.study import Standing, Study
from fanin.experiments.trial import Run

__all__ = ["Run", "Standing", "Store", "Study", "Training"]
