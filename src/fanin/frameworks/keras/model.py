"""A Keras model as fanin's verbs see it: write a plan into it, compare it with one."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fanin.errors import BadInput
from fanin.frameworks import described
from fanin.frameworks.described import sweep_of
from fanin.frameworks.files import save as save_logical
from fanin.frameworks.given import warn_of_overridden
from fanin.frameworks.held import Array, drawn, verified
from fanin.frameworks.keras.given import given_initializers
from fanin.frameworks.keras.loss import slopes_of
from fanin.frameworks.keras.record import said
from fanin.frameworks.keras.trace import Traced
from fanin.frameworks.keras.variables import read, variables
from fanin.frameworks.measured import name_of
from fanin.graph import Held
from fanin.plans import Plan, Sweep, Verification
from fanin.plans.model import Decision
from fanin.signals import Signals
from fanin.signals.model import RANDOM_COTANGENT
from fanin.signals.propagate import Rule
from fanin.signals.rules import RULES


def constrained(_: Any) -> Mapping[str, Decision]:
    """Nothing binds a variable of Keras beyond its layer."""
    return {}


def draw_seed_for(_: Any) -> int:
    """63 bits from Python's generator, which `keras.utils.set_random_seed` sets."""
    return random.getrandbits(63)


def sweep(traced: Traced, model: Any, _: tuple[Any, ...]) -> Sweep:
    """Predict forward from a plan, tuning; the values of the example do not count."""
    return sweep_of(traced, logical(model))


def predict(
    traced: Traced,
    model: Any,
    example: tuple[Any, ...],
    plan: Plan | None = None,
    loss: Any = None,
    rules: Mapping[str, Rule] = RULES,
) -> Signals:
    """See `fanin.predict`.

    Raises:
        BadInput: an operation that has no rule, or a loss that fails.
    """
    arrays = [x for x in keras.tree.flatten(example) if hasattr(x, "shape")]
    given = {
        one.name: np.asarray(keras.ops.convert_to_numpy(x)) for one, x in zip(traced.graph.inputs, arrays, strict=False)
    }
    slopes, name = (None, RANDOM_COTANGENT) if loss is None else (slopes_of(traced, loss), name_of(loss))
    return described.predict(traced, given, plan, logical(model), rules, slopes, name)


def logical(model: Any) -> Callable[[str], Array]:
    """The values of a parameter in the order of PyTorch's axes, by path."""
    own = variables(model)

    def of(path: str) -> Array:
        return own.held[path].layout.logical(read(own.stored[path]))

    return of


def write_(model: Any, plan: Plan, seed: int) -> None:
    """Draw every parameter of the plan and assign it: all of them, or none.

    All values are drawn before the first is assigned; where an assignment fails, those before it are undone. Warns of
    initializers that layers were given and that the plan takes the place of.

    Raises:
        CannotWrite: the plan and the model disagree; lists every such parameter.
        BadInput: the seed is not an integer in [0, 2¹²⁸), or the model is not built.
    """
    own = variables(model)
    warn_of_overridden(plan, given_initializers(model))
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


def save(model: Any, path: Path, metadata: Mapping[str, str], plan: Plan) -> int:
    """The model's variables as a file of logical weights; returns its size in bytes. See `frameworks.files`."""
    return save_logical(plan, logical(model), path, metadata)


def load(model: Any, path: Path) -> dict[str, str]:
    """Put the weights of one of Keras's own files into the model: `.weights.h5`, or `.keras`.

    Raises:
        BadInput: no such file, or not of this model.
    """
    if not path.is_file():
        raise BadInput(f"There is no file {str(path)!r}.")
    try:
        model.load_weights(str(path))
    except Exception as error:  # whatever the file holds is explained and re-raised
        raise BadInput(f"{path} does not hold this model's weights: {said(error)}.") from error
    return {}


def seed_everything(seed: int) -> None:
    """The generators that a model's constructor draws from, so that the same command builds the same model."""
    keras.utils.set_random_seed(seed % 2**32)


def example_input(shape: tuple[int, ...]) -> Array:
    """A batch of white noise."""
    return np.random.default_rng(0).standard_normal(shape, np.float32)
