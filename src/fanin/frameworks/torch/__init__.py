"""PyTorch: trace a module, observe its signals, write a plan into it.

`trace` records the graph with `torch.export`; `read_modules` is what can be said without an example. `observe` runs
that graph once, forward and backward, on the module's own parameters, and `predict` sends moments through it instead;
`write_` fills the parameters, `verify` compares them. None of these touches mode, gradients, hooks or buffers.
`materialize_` gives a model on the meta device its memory and its values, with what `on_meta` recorded; `built` is
the plan that such a model's constructor follows, `seen` that which its values show. `fill_` fills one tensor.
`Watcher` looks at steps of training;
`clip_` makes gradients smaller. `Keeping` keeps the step that is being made, `save_step` and `load_step` move it.
"""

from fanin.frameworks.stakes import chance
from fanin.frameworks.torch.building.built import Built, built
from fanin.frameworks.torch.building.record import Recording, on_meta
from fanin.frameworks.torch.measuring.batches import Batch, batches_of
from fanin.frameworks.torch.measuring.drawn import drawn
from fanin.frameworks.torch.measuring.inputs import inputs_seen
from fanin.frameworks.torch.measuring.learned import learned_factors
from fanin.frameworks.torch.measuring.observe import observe
from fanin.frameworks.torch.measuring.training import training
from fanin.frameworks.torch.measuring.watched_loss import stake
from fanin.frameworks.torch.model.example import example_input
from fanin.frameworks.torch.model.parametrized import constrained
from fanin.frameworks.torch.model.seed import draw_seed, draw_seed_for
from fanin.frameworks.torch.model.whole import has_values
from fanin.frameworks.torch.predicting.from_values import seen
from fanin.frameworks.torch.predicting.predict import predict
from fanin.frameworks.torch.predicting.tune import measured_sweep, sweep
from fanin.frameworks.torch.tracing.activation import array_activation
from fanin.frameworks.torch.tracing.modules import read_modules
from fanin.frameworks.torch.tracing.trace import Traced, trace
from fanin.frameworks.torch.watching.clip import clip_
from fanin.frameworks.torch.watching.kept_file import load_step, save_step
from fanin.frameworks.torch.watching.kept_step import Keeping
from fanin.frameworks.torch.watching.watch import Watcher
from fanin.frameworks.torch.writing.materialize import materialize_
from fanin.frameworks.torch.writing.save import load, save
from fanin.frameworks.torch.writing.tensor import dtype_of, fill_, permuted
from fanin.frameworks.torch.writing.verify import verify
from fanin.frameworks.torch.writing.write import write_

__all__ = [
    "Batch",
    "Built",
    "Keeping",
    "Recording",
    "Traced",
    "Watcher",
    "array_activation",
    "batches_of",
    "built",
    "chance",
    "clip_",
    "constrained",
    "draw_seed",
    "draw_seed_for",
    "drawn",
    "dtype_of",
    "example_input",
    "fill_",
    "has_values",
    "inputs_seen",
    "learned_factors",
    "load",
    "load_step",
    "materialize_",
    "measured_sweep",
    "observe",
    "on_meta",
    "permuted",
    "predict",
    "read_modules",
    "save",
    "save_step",
    "seen",
    "stake",
    "sweep",
    "trace",
    "training",
    "verify",
    "write_",
]
