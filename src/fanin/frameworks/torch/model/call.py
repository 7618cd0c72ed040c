"""How a model is called with an example: which of its values are positional, and which are keywords."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch.utils._pytree import tree_leaves, tree_map_only


class Call(NamedTuple):
    """The arguments of `model(*args, **keywords)`."""

    args: tuple[Any, ...]
    keywords: dict[str, Any]

    @property
    def values(self) -> tuple[Any, ...]:
        """All of them, by whatever name they are passed."""
        return (*self.args, *self.keywords.values())

    @property
    def leaves(self) -> list[Any]:
        """The tensors and plain values in them, in the order of a traced program's inputs."""
        return tree_leaves((self.args, self.keywords))

    def on_meta(self) -> Call:
        """The same call, of which only shapes and dtypes are left."""
        return Call(*tree_map_only(torch.Tensor, lambda x: x.to("meta"), (self.args, self.keywords)))


def call_of(model: torch.nn.Module, example: tuple[Any, ...]) -> Call:
    """The values in order; a mapping at the end is passed as keywords if one of its keys is an argument of `forward`.

    Keywords are sorted by name, so that two calls with the same ones are alike.

    Example:
        >>> attention = torch.nn.MultiheadAttention(8, 2)
        >>> x = torch.zeros(5, 1, 8)
        >>> call_of(attention, (x, {"value": x, "key": x})).keywords.keys()
        dict_keys(['key', 'value'])
    """
    if example and isinstance(example[-1], Mapping):
        *args, last = example
        if _are_keywords(last, model.forward, len(args)):
            return Call(tuple(args), {name: last[name] for name in sorted(last)})
    return Call(example, {})


def _are_keywords(mapping: Mapping[Any, Any], forward: Callable[..., Any], taken: int) -> bool:
    """Whether keys are names of arguments that are still free, or whatever is passed by name goes on to another."""
    try:
        parameters = list(inspect.signature(forward).parameters.values())
    except (TypeError, ValueError):  # compiled code may tell no signature
        return False
    kinds = inspect.Parameter
    named = [p.name for p in parameters if p.kind is kinds.POSITIONAL_OR_KEYWORD]
    free = {*named[taken:], *(p.name for p in parameters if p.kind is kinds.KEYWORD_ONLY)}
    passes_on = any(p.kind is kinds.VAR_KEYWORD for p in parameters)
    return all(isinstance(k, str) for k in mapping) and bool(free & mapping.keys() if free else passes_on)
