"""PyTorch: trace a module, observe its signals, write a plan into it.

`trace` records the graph with `torch.export`; `observe` runs that graph once, forward and backward, on the module's
own parameters; `write_` fills them. None of them touches the module's mode, gradients, hooks or buffers.
`materialize_` gives a model on the meta device its memory and its values, with what `on_meta` recorded.
"""

from fanin.frameworks.torch.activation import array_activation
from fanin.frameworks.torch.example import example_input
from fanin.frameworks.torch.materialize import materialize_
from fanin.frameworks.torch.observe import observe
from fanin.frameworks.torch.record import Recording, on_meta
from fanin.frameworks.torch.seed import draw_seed
from fanin.frameworks.torch.trace import Traced, trace
from fanin.frameworks.torch.write import write_

__all__ = [
    "Recording",
    "Traced",
    "array_activation",
    "draw_seed",
    "example_input",
    "materialize_",
    "observe",
    "on_meta",
    "trace",
    "write_",
]
