"""Shards have the bits of the whole, on eight devices that XLA makes of one CPU: `test_jax_draw.py` runs this file."""

from __future__ import annotations

import os
import re
from functools import partial

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from fanin.compat.jax import constant, delta_orthogonal, he_normal, normal, orthogonal

KEY = jax.random.key(3)


def same(drawn: jax.Array, whole: jax.Array, sharding: NamedSharding) -> None:
    assert drawn.sharding.is_equivalent_to(sharding, drawn.ndim), drawn.sharding
    assert np.asarray(drawn).tobytes() == np.asarray(whole).tobytes()


for kind in (AxisType.Auto, AxisType.Explicit):
    mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(kind, kind))
    for make, shape, spec in ((he_normal(), (64, 6), P("x", "y")), (normal(), (3, 40), P(None, ("x", "y")))):
        sharding, whole = NamedSharding(mesh, spec), make(KEY, shape)
        same(make(KEY, shape, out_sharding=sharding), whole, sharding)
        inside = jax.jit(partial(make, shape=shape, out_sharding=sharding))
        around = jax.jit(partial(make, shape=shape), out_shardings=sharding)
        for function in (inside, around) if kind is AxisType.Auto else (inside,):
            compiled = function.lower(KEY).compile()
            same(compiled(KEY), whole, sharding)
            program = compiled.as_text() or ""
            assert f"[{shape[0]},{shape[1]}]" not in program, "the whole array is somewhere in a device's program"
            assert not re.search("all-|collective-", program), "devices talk to each other"

    sharding = NamedSharding(mesh, P("x"))
    for further in (constant(3.0), delta_orthogonal()):
        whole = further(KEY, (4, 2, 3, 5))
        same(further(KEY, (4, 2, 3, 5), out_sharding=sharding), whole, sharding)
        same(jax.jit(partial(further, shape=(4, 2, 3, 5), out_sharding=sharding))(KEY), whole, sharding)

    with jax.set_mesh(mesh):
        for of_context in (normal(), orthogonal()):
            whole = of_context(KEY, (8, 6))
            same(jax.jit(partial(of_context, shape=(8, 6), out_sharding=P("x")))(KEY), whole, sharding)
