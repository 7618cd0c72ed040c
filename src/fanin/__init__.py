"""fanin starts neural networks well.

    plan = fanin.plan(model, x)                 # decide every parameter; print(plan)
    plan = fanin.initialize_(model, x, seed=0)  # decide and write
    plan = fanin.calibrate(model, x, plan=plan) # the same, as wide as one real batch asks for
    fanin.verify(model, plan, seed=0)           # is it still what the plan says, on any number of processes
    s    = fanin.predict(model, x, plan=plan)   # what will flow, before a weight is drawn
    d    = fanin.diagnose(model, x, loss=loss)  # what is wrong, where, why, and what to do
    r    = fanin.repair_(model, x, loss=loss)   # the remedies, tried one by one; what helped is written
    s    = fanin.compare(build, data, recipes=…)# which start trains better; fanin.sweep: over depths, decays, …
    with fanin.watch(model) as w: ...           # w.step(loss): a warning when training begins to go wrong
    fanin.fill_(tensor, "he_normal", name="w")  # one tensor, of torch or NumPy
    fanin.gain("gelu")                          # what an activation does to a signal
    fanin.edge_of_chaos("tanh", bias_var=0.05)  # the weights between order and chaos; fanin.mean_field: depth scales

No framework is imported before a model of it is given.
"""

from fanin.activations import Activation, EdgeOfChaos, Gain, MeanField
from fanin.api import (
    calibrate,
    clip_,
    compare,
    diagnose,
    edge_of_chaos,
    fill_,
    gain,
    initialize,
    initialize_,
    materialize_,
    mean_field,
    measure,
    on_meta,
    plan,
    predict,
    repair_,
    sweep,
    verify,
    watch,
)
from fanin.diagnosis import Diagnosis, Finding, Repair
from fanin.errors import FaninError
from fanin.graph import Graph, Role
from fanin.initializers import (
    Constant,
    Initializer,
    Keep,
    Normal,
    Ones,
    Orthogonal,
    Sparse,
    TruncatedNormal,
    Uniform,
    VarianceScaling,
    Zeros,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
)
from fanin.monitor import Watch
from fanin.plans import Plan, Verification
from fanin.signals import Signals

__version__ = "0.1.0.dev0"

__all__ = [
    "Activation",
    "Constant",
    "Diagnosis",
    "EdgeOfChaos",
    "FaninError",
    "Finding",
    "Gain",
    "Graph",
    "Initializer",
    "Keep",
    "MeanField",
    "Normal",
    "Ones",
    "Orthogonal",
    "Plan",
    "Repair",
    "Role",
    "Signals",
    "Sparse",
    "TruncatedNormal",
    "Uniform",
    "VarianceScaling",
    "Verification",
    "Watch",
    "Zeros",
    "__version__",
    "calibrate",
    "clip_",
    "compare",
    "diagnose",
    "edge_of_chaos",
    "fill_",
    "gain",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "initialize",
    "initialize_",
    "lecun_normal",
    "lecun_uniform",
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
