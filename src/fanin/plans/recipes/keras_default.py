"""What Keras's own layers draw."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Parameter, Role
from fanin.initializers import Orthogonal, PerPart, Uniform, Zeros, glorot_uniform
from fanin.initializers.parts import LSTM_GATES
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.model import Decision

GLOROT = "keras.layers.Dense, Conv2D, MultiHeadAttention: kernel_initializer='glorot_uniform'"
RECURRENT = "keras.layers.LSTM, GRU, SimpleRNN: recurrent_initializer='orthogonal'"
FORGET = "keras.layers.LSTM: unit_forget_bias=True"
EMBEDDING = "keras.layers.Embedding: embeddings_initializer='uniform'"


def keras_default(graph: Graph) -> Mapping[str, Decision]:
    """Glorot uniform, Var(w) = 2/(fan_in + fan_out); recurrent weights orthogonal, forget gates' biases 1, others 0.

    With true fans, of grouped convolutions too, and gate by gate: Keras draws the gates' kernels as one matrix.

    For: reproducing a Keras model.
    Not for: deep ReLU nets without norms; half the signal is lost at each layer.
    Reference: Glorot & Bengio 2010, eq. 16; the defaults of keras.layers (Keras 3).
    """
    forget = _forget_biases(graph)

    def bias(p: Parameter) -> Decision:
        if p.path in forget:
            return Decision(
                PerPart(Zeros(), {"f": "ones"}), "the forget gate open: an LSTM begins by remembering", FORGET
            )
        return Decision(Zeros(), "zero, as Keras's layers have it", GLOROT)

    return by_role(
        graph,
        {
            **PLAIN,
            Role.WEIGHT: always(glorot_uniform(), "Var(w) = 2/(fan_in + fan_out), uniform", GLOROT),
            Role.ROUTER: always(glorot_uniform(), "Var(w) = 2/(fan_in + fan_out), uniform", GLOROT),
            Role.RECURRENT: always(Orthogonal(), "orthogonal, gate by gate: keeps norms through time", RECURRENT),
            Role.BIAS: bias,
            Role.EMBEDDING: always(Uniform(-0.05, 0.05), "U(±0.05)", EMBEDDING),
            Role.SLOPE: always(
                Zeros(), "the slope below 0 starts at 0", "keras.layers.PReLU: alpha_initializer='Zeros'"
            ),
        },
    )


def _forget_biases(graph: Graph) -> set[str]:
    """Of the two biases that torch's LSTM adds, the first of each cell."""
    found: dict[str | None, list[str]] = {}
    for p in graph.parameters:
        if p.role is Role.BIAS and p.parts and p.parts.names == LSTM_GATES:
            found.setdefault(p.node, []).append(p.path)
    return {path for paths in found.values() for path in paths[::2]}
