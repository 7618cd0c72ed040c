"""Flax NNX: modules are objects whose parameters are `nnx.Param`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax
from flax import nnx

from fanin.frameworks.jax.marks import CELLS, LAYERS, Marking, patched
from fanin.frameworks.jax.models import arguments_of
from fanin.frameworks.jax.opened import Opened, classes_of, tensors_of


def opened(model: nnx.Module) -> Opened:
    """A module, real or of shapes only (`nnx.eval_shape`)."""
    definition, params, rest = nnx.split(model, nnx.Param, ...)
    own, tree = jax.tree_util.tree_flatten_with_path(params)
    other, other_tree = jax.tree_util.tree_flatten_with_path(rest)
    owners = {".".join(map(str, path)): classes_of(module) for path, module in nnx.iter_modules(model)}
    count = len(own)
    tensors = (
        *tensors_of(own, type(model).__name__, trained=lambda *_: True, owner=lambda path: owners.get(path, ())),
        *tensors_of(other, type(model).__name__, trained=lambda *_: False),
    )

    def rebuilt(values: Sequence[Any]) -> nnx.Module:
        return nnx.merge(
            definition,
            jax.tree_util.tree_unflatten(tree, values[:count]),
            jax.tree_util.tree_unflatten(other_tree, values[count:]),
        )

    def write_(values: Sequence[Any]) -> None:
        nnx.update(model, jax.tree_util.tree_unflatten(tree, values[:count]))

    return Opened(
        type(model).__name__,
        tensors,
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


__all__: list[str] = ["opened"]
_ = Callable
