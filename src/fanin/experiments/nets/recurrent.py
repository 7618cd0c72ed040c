"""An LSTM, a GRU or a plain recurrent layer that reads a sequence.

Its recurrent weights are applied once a step, so that two hundred steps are two hundred layers which share them. How
long it remembers is decided by the forget gate: with a bias of 0 it lets half of its memory go at every step, and an
answer after two hundred steps gets 2⁻²⁰⁰ of the gradient. A forget bias of 1 forgets within a few steps; biases of
ln(1 … T) spread the units' memory over all lengths up to T.

References: Hochreiter & Schmidhuber 1997; Gers et al. 2000; Jozefowicz et al. 2015; Tallec & Ollivier 2018 (chrono).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from fanin.errors import UnknownName
from fanin.experiments.data import Data

CELLS: Final[dict[str, type[nn.LSTM | nn.GRU | nn.RNN]]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
PLAIN: Final = ("tanh", "relu")


class Recurrent(nn.Module):
    """Tokens or numbers → cell → readout.

    Args:
        inputs: numbers at each step; for tokens, how many there are: they are read as one-hot vectors.
        layers: one above the other.
        activation: of a plain cell ("rnn"), "tanh" or "relu"; gates have theirs.
        each_step: an answer at every step, or one after the last.
    """

    def __init__(
        self,
        width: int,
        inputs: int,
        outputs: int,
        cell: str = "lstm",
        *,
        layers: int = 1,
        activation: str = "tanh",
        tokens: bool = False,
        each_step: bool = False,
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise UnknownName("cell", cell, CELLS)
        if activation not in PLAIN:
            raise UnknownName("activation of a recurrent cell", activation, PLAIN)
        self.inputs, self.tokens, self.each_step = inputs, tokens, each_step
        plain = {"nonlinearity": activation} if cell == "rnn" else {}
        self.cell = CELLS[cell](inputs, width, layers, batch_first=True, **plain)
        self.readout = nn.Linear(width, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, steps) of tokens or (batch, steps, inputs) → (batch, steps, outputs) or (batch, outputs)."""
        if self.tokens:
            x = nn.functional.one_hot(x, self.inputs).to(self.readout.weight.dtype)
        states, _ = self.cell(x)
        out: torch.Tensor = self.readout(states if self.each_step else states[:, -1])
        return out


def recurrent(
    data: Data, *, width: int = 64, cell: str = "lstm", layers: int = 1, activation: str = "tanh"
) -> Recurrent:
    """A memory that must last: its biases decide how long it does (Tallec & Ollivier 2018)."""
    inputs = data.tokens or data.inputs.shape[-1]
    each_step = data.targets.ndim == 2 and data.tokens > 0
    return Recurrent(
        width,
        inputs,
        data.outputs,
        cell,
        layers=layers,
        activation=activation,
        tokens=data.tokens > 0,
        each_step=each_step,
    )
