"""Layers that are not looked into: their variables are all that is known of them."""

from __future__ import annotations

from typing import Any, Final

import keras

from fanin.activations import TABLE
from fanin.frameworks.keras.activations import describe_activation, function_as_activation
from fanin.frameworks.keras.describe import Description, snake
from fanin.frameworks.keras.layouts import is_weight
from fanin.frameworks.keras.record import Recorded
from fanin.frameworks.keras.variables import layer_path
from fanin.graph import ActivationCall, Held, Ref, Role
from fanin.graph.operations import SLOTS, Slot

SAFE: Final = ActivationCall("relu", assumed="assumed; the layer that calls it was not looked into")


def opaque(d: Description, call: Recorded) -> None:
    """A layer of which only the variables are known: its kernels by their fans, what is called a bias as one.

    Each layer inside it is a call of its own, as if it read what the whole is given.
    """
    layer = call.what
    phi = function_as_activation(getattr(layer, "activation", None)) if type(layer).__name__ == "Activation" else None
    if phi is not None:
        describe_activation(d, call, phi)
        return
    signals = [x for x in keras.tree.flatten((call.args, dict(call.kwargs))) if d.is_signal(x)]
    arguments: dict[str, Any] = {f"input_{i}" if i else "input": d.last(x) for i, x in enumerate(signals)}
    inside = [own for own in layer._flatten_layers(include_self=False) if own._trainable_variables]
    if call.unseen:
        d.unseen[layer_path(d.model, layer) or type(layer).__name__] = call.unseen
    for own in inside:
        _by_itself(d, own, arguments.get("input"))
    arguments |= _own_variables(d, layer)
    shapes = tuple(tuple(map(int, out.shape)) for out in call.outputs)
    made = d.emit(snake(type(layer).__name__), arguments, shapes[0] if shapes else (), shapes=shapes)
    for i, (out, shape) in enumerate(zip(call.outputs, shapes, strict=True)):
        d.gives(out, Ref(made.name, i, shape))


def _by_itself(d: Description, layer: Any, given: Any) -> None:
    """A layer that is not seen to run, on what the one around it is given; and the activation that it may feed."""
    name = str(getattr(getattr(layer, "activation", None), "__name__", ""))
    phi = ActivationCall(name) if name in TABLE and name != "linear" else SAFE
    made = d.emit(snake(type(layer).__name__), {"input": given, **_own_variables(d, layer)}, ())
    if any(is_weight(variable.name) for variable in layer._trainable_variables):
        d.emit(phi.name, {"self": made}, (), activation=phi)


def _own_variables(d: Description, layer: Any) -> dict[str, Held]:
    found = (d.parameter(variable, slot_by_name(d, variable)) for variable in layer._trainable_variables)
    return {held.path: held for held in found if held is not None}


def slot_by_name(d: Description, variable: Any) -> Slot:
    """What a variable is, by its name and its number of axes, where no operation says it."""
    if id(variable) not in d.variables.path_of:
        return Slot(Role.UNKNOWN)
    if variable.name == "embeddings":
        return SLOTS["embedding"]["weight"]
    known = d.held(variable).layout.fans
    if known is not None and (is_weight(variable.name) or len(variable.shape) > 1):
        role = Role.RECURRENT if "recurrent" in variable.name else Role.WEIGHT
        return Slot(role, lambda _, __: known)
    return Slot({"bias": Role.BIAS, "gamma": Role.NORM_SCALE, "beta": Role.NORM_SHIFT}.get(variable.name, Role.UNKNOWN))
