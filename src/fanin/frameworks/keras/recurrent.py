"""Layers over a sequence with a cell of Keras's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from fanin.frameworks.described import NO_BIAS
from fanin.frameworks.keras.describe import Description, input_of
from fanin.frameworks.keras.record import Recorded
from fanin.graph import Ref, Role
from fanin.graph.operations import Slot, packed, packed_bias

KERAS_GRU: Final = ("z", "r", "n")  # update, reset, new: PyTorch has the reset gate first


CELLS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "LSTMCell": ("lstm", ("i", "f", "g", "o")),
    "GRUCell": ("gru", KERAS_GRU),
    "SimpleRNNCell": ("rnn_tanh", ()),
}


def recurrent(d: Description, call: Recorded) -> None:
    """A layer over a sequence, with one cell of Keras's."""
    layer, x = call.what, input_of(call)
    cell = layer.cell
    kind = next(name for name in CELLS if any(base.__name__ == name for base in type(cell).__mro__))
    op, gates = CELLS[kind]
    if kind == "SimpleRNNCell" and getattr(cell.activation, "__name__", "") == "relu":
        op = "rnn_relu"
    params: list[Any] = [
        d.parameter(cell.kernel, packed(gates)),
        d.parameter(cell.recurrent_kernel, packed(gates, Role.RECURRENT)),
    ]
    further: dict[str, Any] = {}
    if cell.use_bias:
        none = [d.constant(np.zeros(max(len(gates), 1) * cell.units, np.float32), NO_BIAS) for _ in range(2)]
        if len(cell.bias.shape) == 2:  # one bias for the input and one for the state, in one variable
            params += none
            further["bias"] = d.parameter(cell.bias, Slot(Role.BIAS))
        else:  # PyTorch has a second one
            params += [d.parameter(cell.bias, packed_bias(gates)), none[0]]
    batch, steps = int(x.shape[0]), int(x.shape[1])
    sequence = (batch, steps, cell.units)
    state = (1, batch, cell.units)
    shapes = (sequence, state, state) if op == "lstm" else (sequence, state)
    arguments = {
        "input": d.last(x),
        "params": tuple(params),
        "has_biases": bool(cell.use_bias),
        "num_layers": 1,
        "dropout": 0.0,
        "train": True,
        "bidirectional": False,
        "batch_first": True,
        **further,
    }
    made = d.emit(op, arguments, sequence, shapes=shapes)
    results = list(call.outputs)
    whole = made
    if not layer.return_sequences:
        last = {"self": made, "dim": 1, "index": steps - 1}
        whole = d.emit("select", last, (batch, cell.units))
    d.gives(results[0], whole)
    for i, out in enumerate(results[1:], 1):
        shape = (batch, cell.units)
        d.gives(out, d.emit("squeeze", {"self": Ref(made.name, min(i, len(shapes) - 1), state), "dim": 0}, shape))
