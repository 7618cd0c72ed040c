"""From the layers of a module alone, without an example, to what can be said of its parameters."""

from __future__ import annotations

from typing import Any, NoReturn

from fanin.errors import BadInput
from fanin.frameworks.jax.opened import Opened
from fanin.graph import Graph


def layers_alone(model: Any, own: Opened) -> Graph:
    """Without a batch, JAX shows no more than names and shapes.

    Raises:
        BadInput: always: the axes of a kernel are known by what it is contracted with.
    """
    _refuse(own)


def _refuse(own: Opened) -> NoReturn:
    raise BadInput(
        f"{own.name}: one batch is needed, plan(model, x): in JAX the axes of an array, and what follows a layer, are "
        "known from what is done with them. Shapes are enough: jax.ShapeDtypeStruct((1, 784), jax.numpy.float32)."
    )
