"""The verbs, in the order of a call: trace → plan → write or materialize; trace → predict, measure, diagnose, repair_.

Each is a few lines: it finds the framework's adapter, traces the model once, and hands over to the package that
decides.
"""

from fanin.api.calibrate import calibrate
from fanin.api.compare import compare, sweep
from fanin.api.diagnosis import diagnose, repair_
from fanin.api.fill import fill_
from fanin.api.gains import edge_of_chaos, gain, mean_field
from fanin.api.initialize import initialize, initialize_, verify
from fanin.api.materialize import materialize_, on_meta
from fanin.api.plan import plan
from fanin.api.signals import measure, predict
from fanin.api.training import clip_, watch

__all__ = [
    "calibrate",
    "clip_",
    "compare",
    "diagnose",
    "edge_of_chaos",
    "fill_",
    "gain",
    "initialize",
    "initialize_",
    "materialize_",
    "mean_field",
    "measure",
    "on_meta",
    "plan",
    "predict",
    "repair_",
    "sweep",
    "verify",
    "watch",
]
