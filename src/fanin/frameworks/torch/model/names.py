"""Logical names: the path of a parameter with the segments of wrappers taken out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch

from fanin.errors import BadInput, NoParameters

# torch.compile, FSDP, checkpointing and Keras; whatever the depth, no user calls a submodule so.
SEGMENTS: Final = frozenset(
    {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_functional", "_torch_params"}
)
# DataParallel, DDP and averaged models hold nothing but the model, under a name that a user may also choose.
OUTERMOST: Final = "module"


def logical(path: str, *, wrapped: bool = False) -> str:
    """The name that does not depend on torch.compile, FSDP, checkpointing or DDP.

    Args:
        wrapped: the outermost "module" is a wrapper's, not the user's own.

    Example:
        >>> logical("_orig_mod.module.layers.0.weight", wrapped=True)
        'layers.0.weight'
    """
    segments = [s for s in path.split(".") if s not in SEGMENTS]
    return ".".join(segments[1:] if wrapped and segments[:1] == [OUTERMOST] else segments)


def naming(model: torch.nn.Module) -> Callable[[str], str]:
    """`logical` for the paths of this model: whether its "module" is a wrapper is seen from what else it holds."""
    outer = model
    while len(children := dict(outer.named_children())) == 1 and children.keys() & SEGMENTS:
        (outer,) = children.values()
    wrapped = children.keys() == {OUTERMOST} and not dict(outer.named_parameters(recurse=False))
    return lambda path: logical(path, wrapped=wrapped)


def named_parameters(model: torch.nn.Module) -> dict[str, tuple[torch.nn.Parameter, tuple[str, ...]]]:
    """Each parameter once, under its first logical name, with its further names (tied weights)."""
    name = naming(model)
    names: dict[int, dict[str, None]] = {}
    tensors: dict[int, torch.nn.Parameter] = {}
    for path, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), {})[name(path)] = None
        tensors[id(parameter)] = parameter
    return {first: (tensors[i], tuple(also)) for i, (first, *also) in names.items()}


def owners(model: torch.nn.Module) -> dict[str, tuple[str, ...]]:
    """Logical path → the classes of the module that the parameter belongs to, the most special first.

    What a parametrization holds, as weight norm does, belongs to the module that is parametrized.
    """
    name = naming(model)
    modules = dict(model.named_modules(remove_duplicate=False))
    found: dict[str, tuple[str, ...]] = {}
    for path, module in modules.items():
        owner = modules[path.partition(".parametrizations")[0]] if ".parametrizations" in f".{path}" else module
        classes = tuple(f"{c.__module__}.{c.__qualname__}" for c in type(owner).__mro__ if c is not object)
        for own, _ in module.named_parameters(recurse=False):
            found[name(f"{path}.{own}" if path else own)] = classes
    return found


def owned_by(of: Mapping[str, tuple[str, ...]], *paths: str) -> tuple[str, ...]:
    """Of all names of a parameter, each class once."""
    return tuple(dict.fromkeys(kind for path in paths for kind in of.get(path, ())))


def checked_parameters(model: Any) -> dict[str, tuple[torch.nn.Parameter, tuple[str, ...]]]:
    """`named_parameters` of a model that can be planned.

    Raises:
        BadInput: not a module, one of TorchScript, or lazy layers that have no shape yet.
        NoParameters: the model has none.
    """
    if not isinstance(model, torch.nn.Module):
        raise BadInput(f"Expected a torch.nn.Module; got {type(model).__name__}.")
    if compiled := [path for path, module in model.named_modules() if isinstance(module, torch.jit.ScriptModule)]:
        part = f"its part {compiled[0]!r}" if compiled[0] else "it"
        raise BadInput(
            f"{type(model).__name__}: {part} is compiled by TorchScript, which leaves no Python code to follow. Give "
            "the model that it was made from."
        )
    parameters = named_parameters(model)
    if not parameters:
        raise NoParameters(f"{type(model).__name__} has no parameters: there is nothing to initialize.")
    if lazy := [path for path, (tensor, _) in parameters.items() if torch.nn.parameter.is_lazy(tensor)]:
        raise BadInput(
            f"{len(lazy)} parameter(s) have no shape yet: {', '.join(lazy[:5])}{', …' if len(lazy) > 5 else ''}. "
            "Run the model once to make its lazy layers, model(x), and call again; a function that builds it for the "
            "command line does so before it returns the model."
        )
    return parameters
