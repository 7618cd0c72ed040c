"""Equinox: a module is a pytree, and one call takes one sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import equinox as eqx
import jax

from fanin.frameworks.jax.models import arguments_of
from fanin.frameworks.jax.opened import Opened, classes_of, is_array, is_floating, path_of, tensors_of
from fanin.frameworks.jax.reading import CELLS, LAYERS, Marking, patched


def opened(model: eqx.Module) -> Opened:
    """Its floating arrays are parameters; other arrays are state, and all else is part of the module."""
    dynamic, static = eqx.partition(model, is_array)
    leaves, tree = jax.tree_util.tree_flatten_with_path(dynamic)
    owners = {path_of(keys): classes_of(module) for keys, module in _modules((), model)}
    tensors = tensors_of(
        leaves,
        type(model).__name__,
        trained=lambda _, leaf: is_floating(leaf),
        owner=lambda path: owners.get(path, ()),
    )

    def rebuilt(values: Sequence[Any]) -> Any:
        return eqx.combine(jax.tree_util.tree_unflatten(tree, values), static)

    return Opened(
        type(model).__name__,
        tensors,
        tuple(leaf for _, leaf in leaves),
        lambda values, *example, **keywords: rebuilt(values)(*example, **keywords),
        rebuilt,
        _marking,
        batched=True,
        shared=(eqx.nn.State,),
        named=arguments_of(type(model).__call__)[1:],
    )


def _modules(keys: tuple[Any, ...], tree: Any) -> Iterator[tuple[tuple[Any, ...], eqx.Module]]:
    """Every module in a pytree, with where it is."""
    if isinstance(tree, eqx.Module):
        yield keys, tree
    inner = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda other: other is not tree)[0]
    for further, branch in inner:
        if further and branch is not tree:
            yield from _modules((*keys, *further), branch)


def _marking(marking: Marking) -> AbstractContextManager[None]:
    classes = [cls for name in (*LAYERS, *CELLS) if (cls := getattr(eqx.nn, name, None)) is not None]
    return patched(marking, classes, lambda layer: {name: getattr(layer, name, None) for name in ("weight", "bias")})
