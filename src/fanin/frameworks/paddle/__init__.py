"""Paddle: describe a layer, write a plan into it, verify it, measure what flows through it.

`trace` runs the model once on symbolic values and reads the program that Paddle makes of it (`record.py`); layers that
hold weights are described from outside (`layers.py`), everything else operation by operation (`operations.py`).
`read_modules` is what can be said without an example.
"""

from fanin.frameworks.not_looked_at import training
from fanin.frameworks.paddle.circumstances import batches_of, inputs_seen, seen
from fanin.frameworks.paddle.loss import stake
from fanin.frameworks.paddle.model import (
    constrained,
    draw_seed,
    draw_seed_for,
    drawn,
    example_input,
    has_values,
    predict,
    save,
    seed_everything,
    sweep,
    verify,
    write_,
)
from fanin.frameworks.paddle.modules import read_modules
from fanin.frameworks.paddle.observe import observe
from fanin.frameworks.paddle.trace import Traced, trace
from fanin.frameworks.paddle.watch_steps import Watcher
from fanin.frameworks.stakes import chance

LOSSES = "paddle.nn.functional"  # where their functions are

__all__ = [
    "LOSSES",
    "Traced",
    "Watcher",
    "batches_of",
    "chance",
    "constrained",
    "draw_seed",
    "draw_seed_for",
    "drawn",
    "example_input",
    "has_values",
    "inputs_seen",
    "observe",
    "predict",
    "read_modules",
    "save",
    "seed_everything",
    "seen",
    "stake",
    "sweep",
    "trace",
    "training",
    "verify",
    "write_",
]
