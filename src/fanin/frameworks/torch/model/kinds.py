"""What fanin knows of torch's own modules: their parameters, and which are activations.

To teach a module: a line in `KINDS`, or in `ACTIVATION_MODULES`. Subclasses are found by their bases.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch

from fanin.graph import ActivationCall, Role
from fanin.graph.operations import ACTIVATIONS, GATES, PACKED, SLOTS, Slot, packed, packed_bias


@dataclass(frozen=True)
class Kind:
    """A kind of module.

    Attributes:
        op: the operation that it runs.
        slots: what its parameters of these names are.
        passes_on: the activation behind it is still that of the layer before it.
        ends: what it makes feeds no activation: it goes to a softmax, to a recurrence, or is looked up.
    """

    op: str
    slots: Mapping[str, Slot]
    passes_on: bool = False
    ends: bool = False


_NORM: Final = Kind("layer_norm", SLOTS["layer_norm"], passes_on=True)
_PROJECTION: Final = SLOTS["linear"]["weight"]
_TOKEN: Final = Slot(Role.TOKEN)
_ATTENTION: Final = {
    **PACKED["MultiheadAttention"],
    **dict.fromkeys(("q_proj_weight", "k_proj_weight", "v_proj_weight"), _PROJECTION),
    **dict.fromkeys(("bias_k", "bias_v"), _TOKEN),
}

KINDS: Final[Mapping[str, Kind]] = {
    "Linear": Kind("linear", SLOTS["linear"]),
    **{f"Conv{n}d": Kind(f"conv{n}d", SLOTS[f"conv{n}d"]) for n in (1, 2, 3)},
    **{f"ConvTranspose{n}d": Kind(f"conv_transpose{n}d", SLOTS[f"conv_transpose{n}d"]) for n in (1, 2, 3)},
    "Bilinear": Kind("bilinear", SLOTS["bilinear"]),
    "Embedding": Kind("embedding", SLOTS["embedding"], ends=True),
    "EmbeddingBag": Kind("embedding_bag", SLOTS["embedding_bag"], ends=True),
    **dict.fromkeys(("LayerNorm", "RMSNorm", "GroupNorm", "_BatchNorm", "_InstanceNorm"), _NORM),
    "PReLU": Kind("prelu", {"weight": Slot(Role.SLOPE)}),
    "MultiheadAttention": Kind("multi_head_attention", _ATTENTION, ends=True),
}
"""By the name of a class of torch.nn; of a module's bases, the first that is here decides."""

RECURRENT: Final[Mapping[str, str]] = {
    **{"LSTM": "lstm", "GRU": "gru", "RNN": "rnn_tanh", "RNNBase": "rnn_tanh"},
    **{"LSTMCell": "lstm_cell", "GRUCell": "gru_cell", "RNNCell": "rnn_tanh_cell"},
}
ACTIVATION_MODULES: Final[Mapping[str, str]] = {
    **{"ReLU": "relu", "ReLU6": "relu6", "LeakyReLU": "leaky_relu", "ELU": "elu", "CELU": "celu", "SELU": "selu"},
    **{"GELU": "gelu", "SiLU": "silu", "Mish": "mish", "Hardswish": "hardswish", "Softplus": "softplus"},
    **{"Tanh": "tanh", "Sigmoid": "sigmoid", "Hardtanh": "hardtanh", "Hardsigmoid": "hardsigmoid"},
    **{"LogSigmoid": "log_sigmoid"},
}
PLAIN_ACTIVATIONS: Final[Mapping[str, str]] = {"PReLU": "prelu", "Softsign": "softsign", "Tanhshrink": "tanhshrink"}
PASSES_ON: Final = re.compile(r"Dropout|Identity|Flatten|Pool|Pad\d|Upsampl|Shuffle")


def kind_of(module: torch.nn.Module) -> Kind | None:
    """What a module is, by its bases among torch's own classes; None if it is none of them.

    Hugging Face's `Conv1D`, a linear layer that stores its weight as (in, out), is known by its name and shape.
    """
    for base in type(module).__mro__:
        if base.__module__.startswith("torch.nn."):
            if base.__name__ in KINDS:
                return KINDS[base.__name__]
            if base.__name__ in RECURRENT:
                return _recurrent(RECURRENT[base.__name__], module)
        elif base.__name__ == "Conv1D" and getattr(getattr(module, "weight", None), "ndim", 0) == 2:
            return Kind("addmm", {"weight": SLOTS["mm"]["mat2"], "bias": Slot(Role.BIAS)})
    return None


def activation_of(module: torch.nn.Module) -> ActivationCall | None:
    """The activation that a module is, with its parameters; None if it is none that has a name."""
    for base in type(module).__mro__:
        if base.__module__.startswith("torch.nn."):
            if base.__name__ in PLAIN_ACTIVATIONS:
                return ActivationCall(PLAIN_ACTIVATIONS[base.__name__])
            if base.__name__ in ACTIVATION_MODULES:
                arguments: Mapping[str, Any] = vars(module)  # torch calls them as its operations do
                return ACTIVATIONS[ACTIVATION_MODULES[base.__name__]](arguments)
    return None


def passes_on(module: torch.nn.Module) -> bool:
    """Whether the module hands a signal on to the next activation."""
    kind = kind_of(module)
    own = type(module).__module__.startswith("torch.nn.")
    return bool(kind and kind.passes_on) or (own and bool(PASSES_ON.search(type(module).__name__)))


def _recurrent(op: str, module: torch.nn.Module) -> Kind:
    """Weights and biases of layers and directions: `weight_ih_l0`, `bias_hh_l1_reverse`, of a cell `weight_ih`."""
    gates = GATES[op.removesuffix("_cell")]
    slots = {
        "weight_ih": packed(gates),
        "weight_hh": packed(gates, Role.RECURRENT),
        "weight_hr": _PROJECTION,
        "bias_ih": packed_bias(gates),
        "bias_hh": packed_bias(gates),
    }
    names = [name for name, _ in module.named_parameters(recurse=False)]
    found = {name: slot for name in names for start, slot in slots.items() if name.startswith(start)}
    return Kind(op, found, ends=True)
