"""A pytree of arrays whose use is declared, not traced: as a `Net` of NumPy, that gives pytrees of JAX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fanin.errors import BadInput
from fanin.frameworks.held import Array
from fanin.frameworks.jax.opened import is_array, path_of
from fanin.frameworks.numpy import Net
from fanin.frameworks.numpy.net import Declared


class Tree(Net):
    """The leaves of a pytree by their paths, with the layers that use them, declared as for `fanin.compat.numpy.Net`.

    For parameters whose function is not at hand, or cannot be traced; where it can, give it, `(function, params)`, and
    nothing needs to be declared. `fanin.initialize` returns a pytree of new arrays; the given one stays as it is.

    Args:
        params: of arrays, or of shapes (`jax.ShapeDtypeStruct`).
        layers: in the order in which they run; names of arrays are paths, such as "blocks.0.kernel".
        example: the shape of one batch that the net is called with; by default one row for the first weight.

    Raises:
        BadInput: leaves that are no arrays, or a layer that names none of them.

    Example:
        >>> import fanin, jax, jax.numpy as jnp
        >>> from fanin.compat.numpy import layer
        >>> params = {"inner": {"kernel": jnp.zeros((64, 32)), "bias": jnp.zeros(32)}, "out": [jnp.zeros((32, 10))]}
        >>> tree = Tree(
        ...     params,
        ...     [
        ...         layer("linear", weight="inner.kernel", bias="inner.bias", axes=("in", "out"), activation="relu"),
        ...         layer("linear", weight="out.0", axes=("in", "out")),
        ...     ],
        ... )
        >>> plan = fanin.plan(tree, recipe="he")
        >>> new = fanin.initialize(tree, recipe=plan, seed=0)
        >>> jax.tree.map(jnp.shape, new)
        {'inner': {'bias': (32,), 'kernel': (64, 32)}, 'out': [(32, 10)]}
        >>> fanin.verify(Tree(new, tree.layers), plan, seed=0).ok
        True
    """

    def __init__(self, params: Any, layers: Sequence[Declared], example: Sequence[int] = ()) -> None:
        leaves, self.structure = jax.tree_util.tree_flatten_with_path(params)
        if wrong := [f"{path_of(keys)} ({type(x).__name__})" for keys, x in leaves if not is_array(x)]:
            raise BadInput(f"A Tree is made of arrays; {len(wrong)} of its leaves are none: {', '.join(wrong[:5])}.")
        super().__init__({path_of(keys): _as_numpy(x) for keys, x in leaves}, layers, example)

    def with_arrays(self, arrays: Mapping[str, Array]) -> Any:
        """A pytree of the same structure, of arrays of JAX."""
        return jax.tree_util.tree_unflatten(self.structure, [jnp.asarray(arrays[path]) for path in self.arrays])


def _as_numpy(x: Any) -> Array:
    """Its values, or zeros of a shape alone; read-only, so that nobody takes this for the user's own array."""
    array = np.zeros(x.shape, x.dtype) if isinstance(x, jax.ShapeDtypeStruct) else np.array(x)
    array.setflags(write=False)
    return array
