"""EDGE: the only place where a framework's models are read and written.

Each adapter is a package with the same functions: trace, read_modules, observe, write_, materialize_ for models;
dtype_of, permuted, fill_ for one tensor. `adapter_of(model)` and `adapter_of_tensor(tensor)` find it without importing
any framework that the caller has not imported already. To add a framework: a package here and lines in `ADAPTERS` and
`TENSORS`.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final

import numpy as np

from fanin.activations import Activation
from fanin.errors import BadInput

# The top-level module that defines the framework's model class → the adapter that serves it.
ADAPTERS: Final[dict[str, str]] = {"torch": "fanin.frameworks.torch"}

# The framework and class of a tensor that can be written in place → the adapter that fills it.
TENSORS: Final[dict[tuple[str, str], str]] = {
    ("torch", "Tensor"): "fanin.frameworks.torch",
    ("numpy", "ndarray"): "fanin.frameworks.numpy",
}


def adapter_of(model: object) -> Any:
    """The adapter module for a model, by the classes it derives from.

    Raises:
        BadInput: the object is a model of no framework that fanin knows.
    """
    for base in type(model).__mro__:
        framework = base.__module__.partition(".")[0]
        if framework in ADAPTERS and base.__name__ == "Module":
            return importlib.import_module(ADAPTERS[framework])
    raise BadInput(f"Expected a torch.nn.Module; got {type(model).__name__}.")


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
        return importlib.import_module(ADAPTERS["torch"]).array_activation(what)
    return what


def _takes_arrays(function: Any) -> bool:
    try:
        return isinstance(function(np.zeros(1)), np.ndarray)
    except Exception:  # noqa: BLE001  # a question, not a call: frameworks raise all kinds when handed an array
        return False
