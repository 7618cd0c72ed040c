"""A loss on what a model of JAX returns: real arrays, or arrays that stand for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from fanin.errors import BadInput
from fanin.frameworks import measured
from fanin.frameworks.held import Array
from fanin.frameworks.jax.adapter import as_numpy
from fanin.frameworks.jax.trace import Traced
from fanin.frameworks.losses import Slopes
from fanin.frameworks.stakes import Stake, stake_of

Loss: TypeAlias = Callable[[Any], Any]


def stake(traced: Traced, _: Any, loss: Loss | None) -> Stake | None:
    """What the loss is worth by chance, and where its logits are."""
    return stake_of(traced.graph, slopes_of(traced, loss) if loss else None)


def slopes_of(traced: Traced, loss: Loss) -> Slopes:
    """The loss, and its gradient by `jax.grad`, of arrays in the place of the model's outputs.

    What is returned raises BadInput where the model returns something that depends on no input, such as a counter.
    """

    def scalar(outputs: Sequence[Any]) -> Any:
        return scalar_of(loss, jax.tree_util.tree_unflatten(traced.tree, outputs))

    def slopes(arrays: Sequence[Array]) -> tuple[float, Sequence[Array | None]]:
        returned = len(traced.program.outputs)
        if returned != len(traced.graph.outputs):
            raise BadInput(
                f"The model returns {returned} arrays, of which {len(traced.graph.outputs)} depend on what it is "
                "called with; a loss is predicted only where all of them do. Give one of what matters, or measure it."
            )
        value, back = jax.value_and_grad(scalar, allow_int=True)([jnp.asarray(x) for x in arrays])
        found = [as_numpy(g) if jnp.issubdtype(g.dtype, jnp.floating) else None for g in back]
        return float(value), found

    return slopes


def scalar_of(loss: Loss, output: Any) -> Any:
    """The loss of what a model returns.

    Raises:
        BadInput: it fails, or is no scalar.
    """
    value = measured.scalar_of(loss, output, kind="an array", reduce=".mean() or .sum()", under=" under jax.jit")
    return jnp.reshape(value, ())
