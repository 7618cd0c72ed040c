"""LSTM, GRU and plain recurrent cells, run over a sequence of (step, sample, feature) from zero; and their adjoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from fanin.signals.latent import Array
from fanin.signals.values import as_array


class Weights(NamedTuple):
    """Of one layer in one direction: (gates · units, inputs), (gates · units, hidden), two biases, (hidden, units)."""

    inputs: Array
    hidden: Array
    bias: Array
    hidden_bias: Array
    project: Array | None = None


@dataclass
class Tape:
    """What a run leaves for its adjoint.

    Attributes:
        hidden: h at every step.
        ends: the last h, and the last c of an LSTM.
        steps: what the cell keeps of each step.
    """

    x: Array
    weights: Weights
    hidden: Array
    ends: list[Array] = field(default_factory=list)
    steps: list[tuple[Array, ...]] = field(default_factory=list)

    def before(self, step: int) -> Array:
        """H that a step starts from."""
        return self.hidden[step - 1] if step else np.zeros_like(self.hidden[0])


class Adjoint(NamedTuple):
    """Gradients of the inputs, and of each parameter sample by sample."""

    inputs: Array
    weights: list[Array]


class Cell(NamedTuple):
    """One kind of cell: how many gates it has, one step, and the step's adjoint."""

    gates: int
    run: Callable[[Array, Weights], Tape]
    adjoint: Callable[[Tape, Array, Sequence[Array]], Adjoint]


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def _lstm(x: Array, w: Weights) -> Tape:
    """C = f c + i g, h = o tanh c."""
    hidden = w.hidden.shape[1]
    tape = Tape(x, w, np.zeros((*x.shape[:2], hidden)))
    h, c = np.zeros((x.shape[1], hidden)), np.zeros((x.shape[1], len(w.bias) // 4))
    for t, drive in enumerate(x @ w.inputs.T + w.bias + w.hidden_bias):
        i, f, g, o = np.split(drive + h @ w.hidden.T, 4, axis=1)
        i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
        before, c = c, f * c + i * g
        squashed = np.tanh(c)
        m = o * squashed
        h = m if w.project is None else m @ w.project.T
        tape.hidden[t] = h
        tape.steps.append((i, f, g, o, before, squashed, m))
    tape.ends = [h, c]
    return tape


def _lstm_back(tape: Tape, d_hidden: Array, d_ends: Sequence[Array]) -> Adjoint:
    w, back = tape.weights, _Sums(tape)
    d_h, d_c = d_ends
    for t in reversed(range(len(tape.x))):
        i, f, g, o, before, squashed, m = tape.steps[t]
        d_h = d_h + d_hidden[t]
        if w.project is not None:
            back.project(d_h, m)
            d_m = d_h @ w.project
        else:
            d_m = d_h
        d_c = d_c + d_m * o * (1 - squashed**2)
        d_u = np.concatenate(
            [d_c * g * i * (1 - i), d_c * before * f * (1 - f), d_c * i * (1 - g**2), d_m * squashed * o * (1 - o)],
            axis=1,
        )
        d_c = d_c * f
        d_h = back.step(t, d_u, d_u)
    return back.done()


def _gru(x: Array, w: Weights) -> Tape:
    """H = (1 − z) n + z h, n = tanh(W x + r · (U h + b))."""
    hidden = w.hidden.shape[1]
    tape = Tape(x, w, np.zeros((*x.shape[:2], hidden)))
    h = np.zeros((x.shape[1], hidden))
    for t, drive in enumerate(x @ w.inputs.T + w.bias):
        r_x, z_x, n_x = np.split(drive, 3, axis=1)
        r_h, z_h, n_h = np.split(h @ w.hidden.T + w.hidden_bias, 3, axis=1)
        r, z = _sigmoid(r_x + r_h), _sigmoid(z_x + z_h)
        n = np.tanh(n_x + r * n_h)
        h = (1 - z) * n + z * h
        tape.hidden[t] = h
        tape.steps.append((r, z, n, n_h))
    tape.ends = [h]
    return tape


def _gru_back(tape: Tape, d_hidden: Array, d_ends: Sequence[Array]) -> Adjoint:
    back = _Sums(tape)
    (d_h,) = d_ends
    for t in reversed(range(len(tape.x))):
        r, z, n, n_h = tape.steps[t]
        d_h = d_h + d_hidden[t]
        d_z = d_h * (tape.before(t) - n) * z * (1 - z)
        d_n = d_h * (1 - z) * (1 - n**2)
        d_r = d_n * n_h * r * (1 - r)
        straight = d_h * z
        d_h = straight + back.step(
            t, np.concatenate([d_r, d_z, d_n], axis=1), np.concatenate([d_r, d_z, d_n * r], axis=1)
        )
    return back.done()


def _plain(squash: Callable[[Array], Array]) -> Callable[[Array, Weights], Tape]:
    def run(x: Array, w: Weights) -> Tape:
        tape = Tape(x, w, np.zeros((*x.shape[:2], w.hidden.shape[1])))
        h = np.zeros_like(tape.hidden[0])
        for t, drive in enumerate(x @ w.inputs.T + w.bias + w.hidden_bias):
            h = squash(drive + h @ w.hidden.T)
            tape.hidden[t] = h
        tape.ends = [h]
        return tape

    return run


def _plain_back(slope: Callable[[Array], Array]) -> Callable[[Tape, Array, Sequence[Array]], Adjoint]:
    """The slope as a function of h."""

    def adjoint(tape: Tape, d_hidden: Array, d_ends: Sequence[Array]) -> Adjoint:
        back = _Sums(tape)
        (d_h,) = d_ends
        for t in reversed(range(len(tape.x))):
            d_u = (d_h + d_hidden[t]) * slope(tape.hidden[t])
            d_h = back.step(t, d_u, d_u)
        return back.done()

    return adjoint


class _Sums:
    """Gradients of inputs and parameters, from those of all steps."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        steps, samples = tape.x.shape[:2]
        rows = len(tape.weights.bias)
        self.inputs = np.zeros_like(tape.x)
        self.of_x, self.of_h = np.zeros((2, steps, samples, rows))
        self.projected: list[tuple[Array, Array]] = []

    def step(self, t: int, d_x: Array, d_h: Array) -> Array:
        """Takes the gradients of W x + b and of U h + b; returns that of h, before the step."""
        w = self.tape.weights
        self.inputs[t], self.of_x[t], self.of_h[t] = d_x @ w.inputs, d_x, d_h
        return np.asarray(d_h @ w.hidden)

    def project(self, d_h: Array, m: Array) -> None:
        """The gradient of the projection."""
        self.projected.append((d_h, m))

    def done(self) -> Adjoint:
        tape = self.tape
        before = np.concatenate([np.zeros_like(tape.hidden[:1]), tape.hidden[:-1]])
        weights = [_met(self.of_x, tape.x), _met(self.of_h, before), self.of_x.sum(0), self.of_h.sum(0)]
        if self.projected:
            weights.append(_met(*map(np.stack, zip(*self.projected, strict=True))))
        return Adjoint(self.inputs, weights)


def _met(delta: Array, x: Array) -> Array:
    """Σ δ xᵀ over the steps, sample by sample."""
    return np.asarray(delta.transpose(1, 2, 0) @ x.transpose(1, 0, 2))


CELLS: Final[Mapping[str, Cell]] = {
    "lstm": Cell(4, _lstm, _lstm_back),
    "gru": Cell(3, _gru, _gru_back),
    "rnn_tanh": Cell(1, _plain(np.tanh), _plain_back(lambda h: 1 - h**2)),
    "rnn_relu": Cell(1, _plain(lambda u: np.maximum(u, 0.0)), _plain_back(lambda h: as_array(h > 0))),
}
