"""A model sharded over eight devices starts with the bits of one that is not: `test_jax_models.py` runs this file."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
os.environ["JAX_PLATFORMS"] = "cpu"

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import fanin

nets = import_module("one_transformer")  # beside this file
MESH = jax.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Auto, AxisType.Auto))
IDS = jax.ShapeDtypeStruct((2, nets.LENGTH), jnp.int32)


def spread(array: Any) -> NamedSharding:
    """Over the last axis, where it can be cut in four."""
    cut = [None] * (array.ndim - 1) + ["x" if array.shape[-1] % 4 == 0 else None]
    return NamedSharding(MESH, P(*cut))


def same(a: Any, b: Any) -> None:
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


model = nnx.eval_shape(lambda: nets.NnxTransformer(nnx.Rngs(0)))
plan = fanin.plan(model, IDS)
whole = nnx.state(fanin.initialize(model, IDS, recipe=plan, seed=0))

# Of shapes that say how they are to lie, as for a checkpoint: nothing is made whole.
shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=spread(a)), nnx.state(model))
nnx.update(model, shapes)
sharded = fanin.initialize(model, IDS, recipe=plan, seed=0)
same(nnx.state(sharded), whole)
kernel = sharded.blocks[0].up.kernel[...]
assert kernel.sharding.is_equivalent_to(spread(kernel), 2), kernel.sharding
assert {shard.data.shape for shard in kernel.addressable_shards} == {(32, 32)}


# Within jit, where a constructor's own draws are compiled away.
@nnx.jit
def create() -> Any:
    return fanin.initialize(nets.NnxTransformer(nnx.Rngs(0)), IDS, recipe=plan, seed=0)


same(nnx.state(create()), whole)

module = nets.EqxTransformer(jax.random.key(0))
of_equinox = fanin.plan(module, IDS, recipe="he")
arrays = eqx.filter(module, eqx.is_array)
started = jax.jit(
    lambda: eqx.filter(fanin.initialize(module, IDS, recipe=of_equinox, seed=0), eqx.is_array),
    out_shardings=jax.tree.map(spread, arrays),
)
compiled = started.lower().compile()
same(compiled(), eqx.filter(fanin.initialize(module, IDS, recipe=of_equinox, seed=0), eqx.is_array))
program = compiled.as_text() or ""
assert "f32[32,128]" not in program, "the whole of an array that is cut is somewhere in a device's program"
assert not any(word in program for word in ("all-gather", "all-reduce", "collective-")), "devices talk to each other"
