"""Flax Linen: a module says what to do, its variables are a pytree beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import flax.linen as nn
import jax

from fanin.errors import BadInput
from fanin.frameworks.jax.models import arguments_of
from fanin.frameworks.jax.opened import Opened, tensors_of
from fanin.frameworks.jax.reading import CELLS, LAYERS, Marking

PARAMS: Final = "params"
DRAWN: Final = (PARAMS, "dropout")  # the random streams that layers of Linen ask for


def opened(module: nn.Module, variables: Any = None) -> Opened:
    """A module with its variables, or the shapes of them."""
    if variables is None:
        raise BadInput(
            f"{type(module).__name__} has no parameters until it is called. Pass one batch, plan(module, x), or its "
            "variables, plan((module, variables), x)."
        )
    bare = not (isinstance(variables, Mapping) and PARAMS in variables)
    collections = {PARAMS: variables} if bare else dict(variables)
    own, tree = jax.tree_util.tree_flatten_with_path(collections[PARAMS])
    rest = {name: of for name, of in collections.items() if name != PARAMS}
    other, other_tree = jax.tree_util.tree_flatten_with_path(rest)
    count, what = len(own), f"The variables of {type(module).__name__}"
    tensors = (*tensors_of(own, what, trained=lambda *_: True), *tensors_of(other, what, trained=lambda *_: False))

    def rebuilt(values: Sequence[Any]) -> Any:
        params = jax.tree_util.tree_unflatten(tree, values[:count])
        if bare:
            return params
        return {PARAMS: params, **jax.tree_util.tree_unflatten(other_tree, values[count:])}

    def call(values: Sequence[Any], *example: Any, **keywords: Any) -> Any:
        given = rebuilt(values)
        given = {PARAMS: given} if bare else given
        keys = {name: jax.random.key(0) for name in DRAWN}
        out, _ = module.apply(given, *example, **keywords, mutable=list(rest) or ["batch_stats"], rngs=keys)
        return out

    return Opened(
        type(module).__name__,
        tensors,
        tuple(leaf for _, leaf in (*own, *other)),
        call,
        rebuilt,
        _marking,
        named=arguments_of(type(module).__call__)[1:],
    )


def with_variables(module: nn.Module, *example: Any, **keywords: Any) -> tuple[nn.Module, Any]:
    """The module with the shapes of its parameters and the values of all else, such as running means.

    Nothing is drawn: what makes the parameters is compiled away.
    """
    keys = {name: jax.random.key(0) for name in DRAWN}

    def made(*example: Any, **keywords: Any) -> Any:
        return module.init(keys, *example, **keywords)

    static = [not hasattr(leaf, "shape") for leaf in example]

    def of_arrays(arrays: Sequence[Any]) -> Any:
        given = iter(arrays)
        return made(*(e if s else next(given) for e, s in zip(example, static, strict=True)), **keywords)

    arrays = [e for e, s in zip(example, static, strict=True) if not s]
    shapes = jax.eval_shape(of_arrays, arrays)
    others = [name for name in shapes if name != PARAMS]
    if not others:
        return module, shapes
    zeros = [jax.numpy.zeros(a.shape, a.dtype) for a in arrays]
    values = jax.jit(lambda arrays: {name: of_arrays(arrays)[name] for name in others})(zeros)
    return module, {PARAMS: shapes.get(PARAMS, {}), **values}


@contextmanager
def _marking(marking: Marking) -> Iterator[None]:
    def interceptor(call: Any, args: tuple[Any, ...], keywords: Mapping[str, Any], context: Any) -> Any:
        kind = type(context.module).__name__
        known = kind in {**LAYERS, **CELLS} and type(context.module) is getattr(nn, kind, None)
        if context.method_name != "__call__" or not known or not args:
            return call(*args, **keywords)
        held = context.module.variables
        arrays = {**held.get("batch_stats", {}), **held.get(PARAMS, {})}
        unboxed = {name: nn.meta.unbox(a) for name, a in arrays.items()}
        return marking.around(context.module, kind, unboxed, lambda *given: call(*given, **keywords), *args)

    with nn.intercept_methods(interceptor):
        yield
