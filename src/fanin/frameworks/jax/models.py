"""Which library a model is of, told without importing one: the base classes of its type."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any, Final

import jax

from fanin.errors import BadInput
from fanin.frameworks.jax.opened import Opened, is_floating, tensors_of

# The module that defines the base class of a library's models → ours that takes them apart.
LIBRARIES: Final = {
    "flax.nnx": "fanin.frameworks.jax.flax_nnx",
    "flax.linen": "fanin.frameworks.jax.flax_linen",
    "equinox": "fanin.frameworks.jax.equinox_",
}
_HOW: Final = (
    "Pass a flax.nnx.Module, a flax.linen.Module with its example, (module, variables), an equinox.Module, "
    "or (function, params) with function(params, *example) (docs/jax.md)."
)


def library_of(model: object) -> str | None:
    """The module of ours that serves the model; None for any other object."""
    for base in type(model).__mro__:
        for prefix, ours in LIBRARIES.items():
            if base.__name__ == "Module" and (base.__module__ + ".").startswith(prefix + "."):
                return ours
    return None


def opened(model: Any) -> Opened:
    """See `fanin.frameworks.jax.opened.opened`."""
    first, *rest = model if isinstance(model, tuple) and model else (model,)
    ours = library_of(first)
    if ours is not None and (not rest or ours.endswith("linen")) and len(rest) < 2:
        found: Opened = importlib.import_module(ours).opened(first, *rest)
        return found
    if callable(first) and len(rest) == 1:
        return of_function(first, rest[0])
    raise BadInput(f"A {type(model).__name__} of arrays does not say what is done with them. {_HOW}")


def of_function(function: Callable[..., Any], params: Any) -> Opened:
    """A pytree of arrays, and the function that uses them: `function(params, *example)`."""
    leaves, tree = jax.tree_util.tree_flatten_with_path(params)
    name = getattr(function, "__name__", type(function).__name__)
    tensors = tensors_of(leaves, f"The parameters of {name}", trained=lambda _, leaf: is_floating(leaf))

    def rebuilt(values: Any) -> Any:
        return jax.tree_util.tree_unflatten(tree, values)

    return Opened(
        name,
        tensors,
        tuple(leaf for _, leaf in leaves),
        lambda values, *example, **keywords: function(rebuilt(values), *example, **keywords),
        rebuilt,
        named=arguments_of(function)[1:],
    )


def arguments_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of its arguments; none where it does not say."""
    try:
        parameters = inspect.signature(function).parameters.values()
        return tuple(p.name for p in parameters if p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD})
    except (TypeError, ValueError):
        return ()
