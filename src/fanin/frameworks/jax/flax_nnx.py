"""Flax NNX: modules are objects whose parameters are `nnx.Param`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax
from flax import nnx

from fanin.frameworks.jax.models import arguments_of
from fanin.frameworks.jax.opened import Opened, classes_of, tensors_of
from fanin.frameworks.jax.reading import CELLS, LAYERS, Marking, patched


def opened(model: nnx.Module) -> Opened:
    """A module, real or of shapes only (`nnx.eval_shape`)."""
    parts: tuple[Any, ...] = nnx.split(model, nnx.Param, ...)
    definition, params, rest = parts
    own, tree = jax.tree_util.tree_flatten_with_path(params)
    other, other_tree = jax.tree_util.tree_flatten_with_path(rest)
    owners = {".".join(map(str, path)): classes_of(module) for path, module in nnx.iter_modules(model)}
    count = len(own)
    tensors = tensors_of(own, type(model).__name__, trained=lambda *_: True, owner=lambda path: owners.get(path, ()))
    state = tensors_of(other, type(model).__name__, trained=lambda *_: False)

    def rebuilt(values: Sequence[Any]) -> Any:
        return nnx.merge(
            definition,
            jax.tree_util.tree_unflatten(tree, values[:count]),
            jax.tree_util.tree_unflatten(other_tree, values[count:]),
        )

    def write_(values: Sequence[Any]) -> None:
        nnx.update(model, jax.tree_util.tree_unflatten(tree, values[:count]))

    return Opened(
        type(model).__name__,
        tensors + state,
        tuple(leaf for _, leaf in (*own, *other)),
        lambda values, *example, **keywords: rebuilt(values)(*example, **keywords),
        rebuilt,
        _marking,
        write_,
        named=arguments_of(type(model).__call__)[1:],
    )


def _marking(marking: Marking) -> AbstractContextManager[None]:
    classes = [cls for name in (*LAYERS, *CELLS) if (cls := getattr(nnx, name, None)) is not None]
    return patched(marking, classes, _arrays)


def _arrays(layer: Any) -> dict[str, Any]:
    names = ("scale", "bias", "mean", "var")
    held = {name: getattr(layer, name, None) for name in names}
    return {name: v[...] for name, v in held.items() if isinstance(v, nnx.Variable)}
