"""From a Paddle model alone, without an example, to what can be said of its parameters.

Nothing is run, so nothing is known of how signals flow between layers, but for those in a `paddle.nn.Sequential`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import paddle

from fanin.frameworks.paddle.layers import cell_op, cells_of, describer_of, layer_arguments, layer_name
from fanin.frameworks.paddle.parameters import Parameters, parameters
from fanin.graph import ActivationCall, Graph, Held, LayerCall, Ref, graph_of
from fanin.graph.calls import alone

SAFE: Final = ActivationCall("relu")
NOTE: Final = (
    "Made without an example input, from layers alone: residual branches, attention, readouts and the activations "
    "between layers are not known. Pass one batch to see them."
)
# Layer of Paddle → the activation, and how it calls the activation's parameters.
ACTIVATION_LAYERS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    **{name: (name.lower(), {}) for name in ("ReLU", "ReLU6", "SELU", "Mish", "Hardswish", "Tanh", "Sigmoid")},
    **{name: (name.lower(), {}) for name in ("Hardsigmoid", "Softsign", "Tanhshrink", "LogSigmoid")},
    **dict.fromkeys(("Silu", "Swish"), ("silu", {})),
    "GELU": ("gelu", {}),
    "LeakyReLU": ("leaky_relu", {"negative_slope": "_negative_slope"}),
    "ELU": ("elu", {"alpha": "_alpha"}),
    "CELU": ("celu", {"alpha": "_alpha"}),
    "Softplus": ("softplus", {"beta": "_beta"}),
}
PASSES_ON: Final = re.compile(r"Dropout|Identity|Flatten|Pool|Pad\d|Upsampl|Shuffle|Norm|PReLU")
_OPS: Final[Mapping[str, str]] = {
    **{f"Conv{n}D": f"conv{n}d" for n in (1, 2, 3)},
    **{f"Conv{n}DTranspose": f"conv_transpose{n}d" for n in (1, 2, 3)},
    **{"Linear": "linear", "Bilinear": "bilinear", "Embedding": "embedding"},
    **{"LayerNorm": "layer_norm", "GroupNorm": "group_norm"},
}


def read_modules(model: Any) -> Graph:
    """A graph of layers that are not connected, each with the activation that it feeds, seen or assumed.

    Raises:
        BadInput: not a layer of Paddle.
        NoParameters: it has none.
    """
    own = parameters(model)
    seen, assumed = dict(_seen_behind(model)), _assumed(model)
    calls: list[LayerCall] = []
    for path, layer in model.named_sublayers(include_self=True):
        call = _call(own, path, layer)
        if call is not None:
            ends = call.op == "embedding" or bool(cell_op(layer)) or path.rpartition(".")[2] == "out_proj"
            calls += alone(call, seen.get(path, "the rest of the model" if ends else assumed))
    return graph_of(type(model).__name__, own.held.values(), calls, notes=(NOTE,), modules_only=True)


def _call(own: Parameters, path: str, layer: Any) -> LayerCall | None:
    """The operation of a layer of Paddle's that has weights."""

    def held(tensor: Any) -> Held | None:
        known = own.path_of.get(id(tensor))
        return None if known is None else own.held[known]

    if describer_of(layer) is None:
        return None
    name, kind = path or layer_name(layer).lower(), layer_name(layer)
    if cell_op(layer):
        slots = {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}
        gates = {ours: held(layer._parameters.get(theirs)) for ours, theirs in slots.items()}
        return LayerCall(name, f"{cell_op(layer)}_cell", {"input": Ref("x"), **gates}, module=path)
    norm = "BatchNorm" in kind or "InstanceNorm" in kind
    op = "batch_norm" if norm else _OPS.get(kind)
    if op is None or cells_of(layer):
        return None
    arguments: dict[str, Any] = {"input": Ref("x"), **layer_arguments(held, layer)}
    if "InstanceNorm" in kind:
        arguments["weight"] = held(layer._parameters.get("scale"))
    if op.startswith("conv"):
        arguments |= {"groups": layer._groups, "stride": tuple(layer._stride)}
    return LayerCall(name, op, arguments, module=path)


def activation_of(layer: Any) -> ActivationCall | None:
    """The activation that a layer is; None if it is none that has a name."""
    kind = layer_name(layer)
    if kind not in ACTIVATION_LAYERS:
        return None
    name, renamed = ACTIVATION_LAYERS[kind]
    if kind == "GELU" and layer._approximate:
        name = "gelu_tanh"
    return ActivationCall(name, {ours: float(getattr(layer, theirs)) for ours, theirs in renamed.items()})


def _assumed(model: Any) -> ActivationCall:
    """The activation of layers behind which none is seen, with the reason for it."""
    kinds = {str(phi): phi for layer in model.sublayers() if (phi := activation_of(layer)) is not None}
    if len(kinds) == 1:
        (only,) = kinds.values()
        return replace(only, assumed="the model's only activation layer; without an example it is not seen here")
    return replace(SAFE, assumed="assumed; without an example the activation is not seen")


def _seen_behind(model: Any) -> Iterator[tuple[str, ActivationCall | str | None]]:
    """Path of a layer in a `Sequential` → the activation behind it, or the operation that is there instead."""
    inner = {id(child) for one in model.sublayers(include_self=True) if _is_chain(one) for child in one.children()}
    for path, layer in model.named_sublayers(include_self=True):
        if not _is_chain(layer) or id(layer) in inner:
            continue
        chain = list(_flat(path, layer))
        for i, (own, _) in enumerate(chain):
            behind = next((one for _, one in chain[i + 1 :] if not PASSES_ON.search(layer_name(one))), None)
            if behind is None:
                if layer is model:
                    yield own, None
            elif (phi := activation_of(behind)) is not None:
                yield own, phi
            elif describer_of(behind):
                yield own, _OPS.get(layer_name(behind), "the rest of the model")


def _is_chain(layer: Any) -> bool:
    return isinstance(layer, paddle.nn.Sequential) and type(layer).forward is paddle.nn.Sequential.forward


def _flat(path: str, chain: Any) -> Iterator[tuple[str, Any]]:
    for name, child in chain.named_children():
        own = f"{path}.{name}" if path else name
        if _is_chain(child):
            yield from _flat(own, child)
        else:
            yield own, child
