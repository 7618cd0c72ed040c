"""What a Paddle model holds: its parameters by path, and their values through NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import paddle

from fanin.errors import BadInput, NoParameters
from fanin.frameworks.held import Array
from fanin.frameworks.paddle.layouts import known_layout
from fanin.graph import Held
from fanin.graph.layout import as_stored

OLDEST: Final = (3, 3)
# What Paddle keeps among the parameters of its norms, and nothing is drawn for: running statistics.
STATISTICS: Final = frozenset({"_mean", "_variance"})


@dataclass(frozen=True)
class Parameters:
    """The parameters of a model, in the order of `named_parameters`.

    Attributes:
        held: each with its layout, by path.
        stored: the tensors themselves, by path.
        path_of: a tensor's id → its path.
    """

    held: Mapping[str, Held]
    stored: Mapping[str, Any]
    path_of: Mapping[int, str]


def parameters(model: Any) -> Parameters:
    """Read a model; a tensor that several layers share has the first of its names.

    Raises:
        BadInput: not a layer of Paddle.
        NoParameters: it has none.
    """
    require(model)
    names: dict[int, list[str]] = {}
    stored: dict[str, Any] = {}
    owner: dict[str, Any] = {}
    for path, layer in _layers(model):
        for name, tensor in layer._parameters.items():
            if tensor is None or (name in STATISTICS and _is_norm(layer)):
                continue
            own = f"{path}.{name}" if path else name
            if id(tensor) not in names:
                stored[own], owner[own] = tensor, layer
            names.setdefault(id(tensor), []).append(own)
    if not stored:
        raise NoParameters(f"{type(model).__name__} has no parameters: there is nothing to initialize.")
    path_of = {id(tensor): path for path, tensor in stored.items()}
    held = {path: _held(path, tensor, owner[path], names[id(tensor)]) for path, tensor in stored.items()}
    return Parameters(held, stored, path_of)


def _layers(model: Any) -> Iterator[tuple[str, Any]]:
    """Every layer but the cells in an LSTM and its like, which itself has their tensors, under PyTorch's names."""
    inside: list[str] = []
    for path, layer in model.named_sublayers(include_self=True):
        if any(path.startswith(one) for one in inside):
            continue
        if isinstance(layer, paddle.nn.layer.rnn.RNNBase):
            inside.append(f"{path}." if path else "")
        yield path, layer


def _held(path: str, tensor: Any, layer: Any, names: list[str]) -> Held:
    shape = tuple(map(int, tensor.shape))
    layout = known_layout(layer, shape) or as_stored(shape)
    frozen = bool(tensor.stop_gradient)
    return Held(path, shape, layout, dtype_of(tensor), frozen, tuple(names[1:]), classes_of(layer))


def _is_norm(layer: Any) -> bool:
    return any(base.__module__ == "paddle.nn.layer.norm" for base in type(layer).__mro__)


def classes_of(layer: Any) -> tuple[str, ...]:
    """The classes of a layer, Paddle's own also as users import them, such as paddle.nn.Linear."""
    found: dict[str, None] = {}
    for base in type(layer).__mro__:
        if base is object:
            continue
        found[f"{base.__module__}.{base.__qualname__}"] = None
        if base.__module__.startswith("paddle.nn.") and getattr(paddle.nn, base.__name__, None) is base:
            found[f"paddle.nn.{base.__name__}"] = None
    return tuple(found)


def dtype_of(tensor: Any) -> str:
    """The name of its dtype, as the stream has it."""
    return str(tensor.dtype).rpartition(".")[2]


def require_version(version: str) -> None:
    """Programs are read of the versions that were tried.

    Raises:
        BadInput: an older one.
    """
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if (0, 0) < numbers < OLDEST:  # a build of its main branch calls itself 0.0.0
        raise BadInput(
            f"Models are read of Paddle {'.'.join(map(str, OLDEST))} and newer; this is {version}. "
            "Install it: pip install 'fanin[paddle]'"
        )


def require(model: Any) -> None:
    """A layer, in dynamic mode.

    Raises:
        BadInput: neither.
    """
    require_version(paddle.__version__)
    if not isinstance(model, paddle.nn.Layer):
        raise BadInput(f"Expected a paddle.nn.Layer; got {type(model).__name__}.")
    if not paddle.in_dynamic_mode():
        raise BadInput(
            "The parameters of a static program have no values to write: call paddle.disable_static() first."
        )


def require_values(own: Parameters) -> None:
    """Parameters have memory.

    Raises:
        BadInput: they have none.
    """
    empty = [path for path, tensor in own.stored.items() if not tensor._is_initialized()]
    if empty:
        raise BadInput(
            f"{len(empty)} parameter(s) have no values yet, as paddle.LazyGuard leaves them: {', '.join(empty[:5])}"
            f"{', …' if len(empty) > 5 else ''}. Call initialize_ first, or give a plan to predict from."
        )


def read(tensor: Any) -> Array:
    """Its values, on the host; of a dtype that NumPy does not have, as float32."""
    return np.asarray((tensor.astype("float32") if dtype_of(tensor) == "bfloat16" else tensor).numpy())


def given_initializers(model: Any) -> Iterator[tuple[str, str]]:
    """Path of a parameter → the name of the initializer that its layer was given."""
    known = parameters(model)
    for path, layer in model.named_sublayers(include_self=True):
        for name, attributes in (("weight", ("_weight_attr", "_param_attr")), ("bias", ("_bias_attr",))):
            tensor = layer._parameters.get(name)
            given = next((attr for a in attributes if (attr := getattr(layer, a, None))), None)
            own = given if isinstance(given, paddle.nn.initializer.Initializer) else getattr(given, "initializer", None)
            if tensor is not None and own is not None and id(tensor) in known.path_of:
                yield f"{path}.{name}" if path else name, type(own).__name__
