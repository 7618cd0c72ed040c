"""What a plan draws, as arrays of JAX: by JAX's own operations where elements are independent, so that nothing passes
through the host, and each device computes its own part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from fanin.errors import BadInput
from fanin.frameworks.held import agree
from fanin.frameworks.jax.draw import Sharding, draw, draw_on_host, full
from fanin.frameworks.jax.opened import Opened
from fanin.frameworks.jax.reading import Tensor
from fanin.graph import Held, Layout, Part
from fanin.initializers import Constant, Initializer, PerPart, Target
from fanin.initializers.base import COMPLEX
from fanin.plans import Plan
from fanin.plans.model import Entry, writes
from fanin.stream import key


def held_by(model: Opened, plan: Plan) -> dict[str, Held]:
    """Every parameter, with the order of axes that the plan knows."""
    known = {e.parameter.path: e.parameter for e in plan}

    def layout(tensor: Tensor) -> Layout:
        p = known.get(tensor.path)
        axes = tuple(range(len(tensor.shape)))
        if p is None:
            return Layout(axes, tensor.shape)
        order = p.stored or axes
        fits = sorted(order) == list(axes) and int(np.prod(p.shape)) == int(np.prod(tensor.shape))
        return Layout(order if fits else axes, p.shape if fits else tensor.shape)

    return {t.path: Held(t.path, t.shape, layout(t), t.dtype, owner=t.owner) for t, _ in model.trained}


def values_of(model: Opened, plan: Plan, seed: Any) -> list[Any]:
    """All arrays of the model, those that the plan writes drawn anew.

    Args:
        seed: an integer in [0, 2¹²⁸), or a key of JAX, which may be traced.

    Raises:
        BadInput: another seed, or arrays that have no values and that the plan does not write.
        CannotWrite: the plan and the model disagree.
    """
    seed_key, held = key_of(seed), held_by(model, plan)
    agree(plan, held)
    written = {e.parameter.path: e for e in plan if writes(e)}
    missing = [
        t.path
        for t, v in zip(model.tensors, model.values, strict=True)
        if isinstance(v, jax.ShapeDtypeStruct) and not (t.trained and t.path in written)
    ]
    if missing:
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise BadInput(
            f"{len(missing)} array(s) of {model.name} have a shape but no values, and no plan draws them: {shown}. "
            "Make the module with its values (under jax.jit or nnx.jit, what is drawn twice is compiled away)."
        )
    return [
        _drawn(written[t.path], held[t.path], seed_key, _sharding(v)) if t.trained and t.path in written else v
        for t, v in zip(model.tensors, model.values, strict=True)
    ]


def key_of(seed: Any) -> Any:
    """The seed as the words of a JAX key, the highest first.

    Raises:
        BadInput: neither an integer in [0, 2¹²⁸) nor a key.
    """
    if isinstance(seed, jax.Array):
        return seed
    key(seed, "")
    return np.array([seed >> 32 * i & 0xFFFFFFFF for i in (3, 2, 1, 0)], np.uint32)


def _sharding(value: Any) -> Sharding:
    """How an array lies on the devices, where that is said by a mesh."""
    if isinstance(value, jax.core.Tracer):
        return None
    sharding = getattr(value, "sharding", None)
    return sharding if isinstance(sharding, NamedSharding) else None


def _drawn(entry: Entry, held: Held, seed: Any, sharding: Sharding) -> jax.Array:
    axes = held.layout.axes
    return _tensor(entry.initializer, entry.target, seed, held.shape, axes, sharding)


def _tensor(
    what: Initializer, target: Target, seed: Any, shape: Sequence[int], order: Sequence[int], sharding: Sharding
) -> jax.Array:
    """One parameter as it is stored."""
    stored, dtype, axes = tuple(shape), jnp.dtype(target.dtype), tuple(order)
    if isinstance(what, Constant):
        return full(what.value, stored, dtype, sharding)
    law = what.sampling(target)
    real = target.dtype not in COMPLEX or what.law(target).mean == 0
    if law is not None and real:
        return draw(law, seed, target.name, stored, dtype, order=axes, out_sharding=sharding)
    if isinstance(what, PerPart):
        whole = _joined(what, target, seed)
        by_axis = whole.reshape([stored[a] for a in axes]).transpose(np.argsort(axes).tolist())
        return by_axis if sharding is None else jax.lax.with_sharding_constraint(by_axis, sharding)
    return draw_on_host(
        lambda number: what.draw(target, number), seed, stored, dtype, order=axes, out_sharding=sharding
    )


def _joined(what: PerPart, target: Target, seed: Any) -> jax.Array:
    """The parts of one tensor, each drawn under its own name, side by side."""
    parts = target.parts if what.parts is None else what.parts
    axis = getattr(parts, "axis", 0)
    pieces = [
        (part, _tensor(one, alone, seed, alone.shape, range(len(alone.shape)), None))
        for part, one, alone in what.pieces(target)
    ]
    return jnp.concatenate([_placed(piece, part, axis, target) for part, piece in pieces], axis)


def _placed(piece: jax.Array, part: Part, axis: int, target: Target) -> jax.Array:
    """A slice gets back the axis along which it lies."""
    return (
        piece
        if piece.ndim == len(target.shape)
        else jnp.expand_dims(piece, axis).reshape(*target.shape[:axis], part.size, *target.shape[axis + 1 :])
    )
