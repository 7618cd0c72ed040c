"""A model of JAX as fanin's verbs see it: describe it, start it anew, compare it with a plan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from fanin.errors import BadInput, CannotWrite
from fanin.frameworks.files import save as save_logical
from fanin.frameworks.held import Array, verified
from fanin.frameworks.jax.drawn import held_by, values_of
from fanin.frameworks.jax.models import library_of
from fanin.frameworks.jax.opened import Opened, opened
from fanin.frameworks.jax.trace import Traced, traced
from fanin.graph import Held
from fanin.plans import Plan, Verification
from fanin.plans.model import Decision


def bound(model: Any, *example: Any) -> Any:
    """A model with all that it needs to be started: a bare module of Linen has no parameters before it is called."""
    ours = library_of(model)
    if example and ours is not None and ours.endswith("linen"):
        from fanin.frameworks.jax.flax_linen import with_variables

        try:
            return with_variables(model, *example)
        except Exception as error:  # whatever the user's model raises is explained and re-raised
            raise BadInput(
                f"{type(model).__name__}.init failed on the example: {type(error).__name__}: {error}."
            ) from error
    return model


def trace(model: Any, *example: Any) -> Traced:
    """The graph for one batch; see `fanin.frameworks.jax.trace`."""
    return traced(opened(bound(model, *example)), example)


def current(made: Traced, model: Any) -> Opened:
    """The model as it is now, which may have changed since it was traced."""
    bare = (library_of(model) or "").endswith("linen")
    return made.opened if bare else opened(model)


def read_modules(model: Any) -> NoReturn:
    """Without a batch, JAX shows no more than names and shapes.

    Raises:
        BadInput: always.
    """
    raise BadInput(
        f"{opened(model).name}: one batch is needed, plan(model, x): in JAX the axes of an array, and what follows a "
        "layer, are known from what is done with them. A shape is enough: "
        "jax.ShapeDtypeStruct((1, 784), jax.numpy.float32)."
    )


def constrained(_: Any) -> Mapping[str, Decision]:
    """Nothing binds a parameter of JAX."""
    return {}


def draw_seed_for(_: Any) -> NoReturn:
    """JAX has no global generator.

    Raises:
        BadInput: always.
    """
    raise BadInput("JAX has no global random state to draw a seed from: give one, such as seed=0.")


def initialized(model: Any, plan: Plan, seed: Any) -> Any:
    """The model, or its variables, with new arrays; under `jax.jit` too."""
    own = opened(model)
    return own.rebuilt(values_of(own, plan, seed))


def started(model: Any, plan: Plan, seed: Any, *example: Any) -> Any:
    """A model with new arrays that every function here takes: of a pair, the pair."""
    known = bound(model, *example)
    new = initialized(known, plan, seed)
    return (known[0], new) if isinstance(known, tuple) else new


def save(model: Any, path: Path, metadata: Mapping[str, str], plan: Plan) -> int:
    """The parameters as a file of logical weights; returns its size in bytes. See `frameworks.files`."""
    own = opened(model)
    values, held = with_values(own), held_by(own, plan)
    return save_logical(plan, lambda name: held[name].layout.logical(as_numpy(values[name])), path, metadata)


def example_input(shape: tuple[int, ...]) -> Any:
    """A batch of white noise."""
    return jax.random.normal(jax.random.key(0), shape, jnp.float32)


def write_(model: Any, plan: Plan, seed: Any) -> None:
    """Into a module of NNX, whose parameters are variables: all of them, or none.

    Raises:
        CannotWrite: a model that is a value, or the plan and the model disagree.
    """
    own = opened(model)
    if own.write_ is None:
        raise CannotWrite(
            f"Nothing was written: a {own.name} of JAX is a value that cannot be changed. "
            "Use new = fanin.initialize(model, x, seed=…), which returns another."
        )
    own.write_(values_of(own, plan, seed))


def verify(model: Any, plan: Plan, seed: int, blocks: int | None = 8) -> Verification:
    """Compare the arrays with the stream; see `fanin.verify`."""
    own = opened(model)
    values = with_values(own)

    def stored(held: Held) -> Array:
        return as_numpy(values[held.path])

    return verified(plan, held_by(own, plan).values() if isinstance(plan, Plan) else (), stored, seed, blocks)


def with_values(model: Opened) -> dict[str, Any]:
    """The parameters' arrays, by path.

    Raises:
        BadInput: they have shapes only, or are traced by `jax.jit`.
    """
    found = {t.path: v for t, v in model.trained}
    abstract = [path for path, v in found.items() if isinstance(v, jax.ShapeDtypeStruct | jax.core.Tracer)]
    if abstract:
        raise BadInput(
            f"{len(abstract)} parameter(s) of {model.name} have no values here: {', '.join(abstract[:5])}. "
            "Give the model itself, outside of jax.jit, after fanin.initialize."
        )
    return found


def as_numpy(value: Any) -> Array:
    """An array's values; of narrow types as the float32 that they are."""
    array = jnp.asarray(value)
    narrow = array.dtype.itemsize < 4 and array.dtype != jnp.float16 and jnp.issubdtype(array.dtype, jnp.floating)
    return np.asarray(array.astype(jnp.float32) if narrow else array)
