"""EDGE: the only place where a framework's models are read and written.

Each adapter is a package with the same functions: `trace`, `read_modules`, `write_`, `verify` for models, and as many
of the others as it can (docs/extending.md); dtype_of, permuted, fill_ for one tensor. `adapter_of(model)` and
`adapter_of_tensor(tensor)` find it without importing any framework that the caller has not imported already. To add a
framework: a package here and lines in `ADAPTERS` and `TENSORS`. What adapters share: `held.py`, `graph/calls.py`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import numpy as np

from fanin.activations import Activation
from fanin.errors import BadInput

Kind: TypeAlias = tuple[str, str]  # a framework's top-level module, and the name of a class that it defines

# The base class of a framework's models → the adapter that serves them. The first in a model's bases decides, so that a
# Keras model, which on the back end of PyTorch is a torch.nn.Module as well, is one of Keras.
ADAPTERS: Final[dict[Kind, str]] = {
    ("torch", "Module"): "fanin.frameworks.torch",
    ("keras", "Layer"): "fanin.frameworks.keras",
    ("paddle", "Layer"): "fanin.frameworks.paddle",
    ("fanin", "Net"): "fanin.frameworks.numpy",
    ("flax", "Module"): "fanin.frameworks.jax",
    ("equinox", "Module"): "fanin.frameworks.jax",
}

# A model that is a dict, list or tuple: the class of the first in it that is here → the adapter. A pair of JAX is a
# module of Flax, or a function, with its arrays.
TREES: Final[dict[Kind, str]] = {
    ("numpy", "ndarray"): "fanin.frameworks.numpy",
    ("flax", "Module"): "fanin.frameworks.jax",
    ("jax", "Array"): "fanin.frameworks.jax",
    ("jaxlib", "ArrayImpl"): "fanin.frameworks.jax",
    ("jax", "Tracer"): "fanin.frameworks.jax",
    ("jax", "ShapeDtypeStruct"): "fanin.frameworks.jax",
}

# The framework and class of a tensor that can be written in place → the adapter that fills it.
TENSORS: Final[dict[Kind, str]] = {
    ("torch", "Tensor"): "fanin.frameworks.torch",
    ("numpy", "ndarray"): "fanin.frameworks.numpy",
}

# What the functions of an adapter are for, as a message says it.
VERBS: Final = {
    "sweep": "fanin.calibrate",
    "measured_sweep": "fanin.calibrate",
    "learned_factors": "fanin.calibrate",
    "observe": "fanin.measure",
    "predict": "fanin.predict",
    "drawn": "fanin.measure(…, plan=…)",
    "has_values": "fanin.diagnose",
    "materialize_": "fanin.materialize_",
    "initialized": "fanin.initialize",
    "write_": "fanin.initialize_",
    "seen": "the recipe as_built",
    "Watcher": "fanin.watch",
    "Keeping": "fanin.watch(…, keep_step=True)",
    "load_step": "fanin.monitor.replay",
    "clip_": "fanin.clip_",
    "save": "fanin init",
    "load": "fanin verify of such a file",
}


# What serves models of an adapter in the place of a function that it does not have.
INSTEAD: Final = {
    ("fanin.frameworks.jax", "Watcher"): "Steps of JAX are functions of arrays: see fanin.monitor.jax.watch.",
}


def adapter_of(model: object, *needed: str) -> Any:
    """The adapter module for a model, by the classes it derives from.

    Args:
        needed: functions that the adapter must have.

    Raises:
        BadInput: the object is a model of no framework that fanin knows, or the adapter has not all of the functions.
    """
    adapter = importlib.import_module(_adapter(model))
    if missing := [name for name in needed if not hasattr(adapter, name)]:
        instead = INSTEAD.get((adapter.__name__, missing[0]), "docs/frameworks.md says what does.")
        raise BadInput(
            f"{VERBS.get(missing[0], missing[0])} does not serve models of {adapter.__name__.rpartition('.')[2]}; "
            f"got {type(model).__name__}. {instead}"
        )
    return adapter


def training_adapter_of(model: object, *needed: str) -> Any:
    """The adapter module for what trains a model: of a Keras model on the back end of PyTorch, that is PyTorch.

    Raises:
        BadInput: as by `adapter_of`.
    """
    for base in type(model).__mro__:
        if (base.__module__.partition(".")[0], base.__name__) == ("torch", "Module"):
            return importlib.import_module(ADAPTERS["torch", "Module"])
    return adapter_of(model, *needed)


def _adapter(model: object) -> str:
    for base in type(model).__mro__:
        found = ADAPTERS.get((base.__module__.partition(".")[0], base.__name__))
        if found is not None:
            return found
    if isinstance(model, (dict, list, tuple)):
        for leaf in _leaves(model):
            for base in type(leaf).__mro__:
                found = TREES.get((base.__module__.partition(".")[0], base.__name__))
                if found is not None:
                    return found
    raise BadInput(
        "Expected a torch.nn.Module, a model of Keras, Flax, Equinox or Paddle, or arrays with what is done with them "
        f"(docs/frameworks.md); got {type(model).__name__}."
    )


def _leaves(tree: object) -> Iterator[object]:
    if isinstance(tree, (dict, list, tuple)):
        for branch in tree.values() if isinstance(tree, dict) else tree:
            yield from _leaves(branch)
    else:
        yield tree


def adapter_of_tensor(tensor: object) -> Any:
    """The adapter module for one tensor: `draw_seed`, `dtype_of`, `permuted`, `fill_`.

    Raises:
        BadInput: it is none that fanin can write in place.
    """
    for base in type(tensor).__mro__:
        found = TENSORS.get((base.__module__.partition(".")[0], base.__name__))
        if found is not None:
            return importlib.import_module(found)
    raise BadInput(f"Expected a torch.Tensor or a numpy.ndarray to fill in place; got {type(tensor).__name__}.")


def activation_of(what: Any) -> Any:
    """An activation written with a framework's tensors as one of NumPy arrays; anything else as it is."""
    if not callable(what) or isinstance(what, Activation) or _takes_arrays(what):
        return what
    if "torch" in sys.modules:
        return importlib.import_module(ADAPTERS["torch", "Module"]).array_activation(what)
    return what


def _takes_arrays(function: Any) -> bool:
    try:
        return isinstance(function(np.zeros(1)), np.ndarray)
    except Exception:  # noqa: BLE001  # a question, not a call: frameworks raise all kinds when handed an array
        return False
