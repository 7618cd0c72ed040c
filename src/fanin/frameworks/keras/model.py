"""A Keras model as fanin's verbs see it: write a plan into it, compare it with one."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import keras

from fanin.frameworks.held import Array, drawn, verified
from fanin.frameworks.keras.variables import read, variables
from fanin.graph import Held
from fanin.plans import Plan, Verification
from fanin.plans.model import Decision


def constrained(_: Any) -> Mapping[str, Decision]:
    """Nothing binds a variable of Keras beyond its layer."""
    return {}


def draw_seed_for(_: Any) -> int:
    """63 bits from Python's generator, which `keras.utils.set_random_seed` sets."""
    return random.getrandbits(63)


def write_(model: Any, plan: Plan, seed: int) -> None:
    """Draw every parameter of the plan and assign it: all of them, or none.

    All values are drawn before the first is assigned; where an assignment fails, those before it are undone.

    Raises:
        CannotWrite: the plan and the model disagree; lists every such parameter.
        BadInput: the seed is not an integer in [0, 2¹²⁸), or the model is not built.
    """
    own = variables(model)
    values = [(own.stored[held.path], array) for held, array in drawn(plan, own.held.values(), seed)]
    before: list[tuple[Any, Any]] = []
    try:
        for variable, array in values:
            before.append((variable, keras.ops.copy(variable.value)))
            variable.assign(keras.ops.convert_to_tensor(array, dtype=variable.dtype))
    except BaseException:
        for variable, old in before:
            variable.assign(old)
        raise


def verify(model: Any, plan: Plan, seed: int, blocks: int | None = 8) -> Verification:
    """Compare the variables with the stream; see `fanin.verify`."""
    own = variables(model)

    def stored(held: Held) -> Array:
        return read(own.stored[held.path])

    return verified(plan, own.held.values(), stored, seed, blocks)
