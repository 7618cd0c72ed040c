"""Defects of the adapters to JAX and Flax."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from noticing import Mutant, noticed, put

from fanin.graph import Fans
from fanin.initializers import Target


def drawn_as_stored(what: Any, target: Target, seed: Any, shape: Any, order: Any, sharding: Any) -> Any:
    """JAX's drawing, with the elements of the stream in row-major order of the array as it is stored."""
    draw = importlib.import_module("fanin.frameworks.jax.draw")
    law = what.sampling(target)
    if law is None:
        return draw.full(what.law(target).mean, tuple(shape), np.dtype(target.dtype), sharding)
    return draw.draw(law, seed, target.name, tuple(shape), np.dtype(target.dtype), out_sharding=sharding)


MUTANTS = (
    Mutant(
        "products that XLA may fuse with sums",
        put("fanin.frameworks.jax.values", "_unfused", lambda product: product),
        ("frameworks/test_jax_draw.py::test_values_have_the_bits_of_the_reference",),
    ),
    Mutant(
        "bfloat16 by cutting off, in JAX",
        put(
            "fanin.frameworks.jax.values",
            "_to_bfloat16",
            lambda numbers: (numbers.view("uint32") >> 16).astype("uint16").view("bfloat16"),
        ),
        ("frameworks/test_jax_draw.py::test_values_have_the_bits_of_the_reference",),
    ),
    Mutant(
        "a JAX kernel drawn in the order of its own axes",
        lambda patch: patch.setattr(
            "fanin.frameworks.jax.layout.Layout.order", lambda layout, shape: tuple(range(len(shape)))
        ),
        ("compat/test_compat_jax.py::test_a_kernel_is_the_transposed_weight_of_a_torch_model",),
    ),
    Mutant(
        "fan_in and fan_out of a JAX kernel swapped",
        put("fanin.frameworks.jax.layout", "Fans", lambda fan_in, fan_out: Fans(fan_out, fan_in)),
        ("compat/test_compat_jax.py::test_the_variance_is_scale_over_fan_after_the_cut",),
    ),
    Mutant(
        "kernels of Flax are drawn in the order in which they are stored",
        put("fanin.frameworks.jax.drawn", "_tensor", drawn_as_stored),
        ("frameworks/test_jax_models.py::test_a_transformer_starts_as_pytorchs_does",),
    ),
    Mutant(
        "any function of one signal is an activation that is near enough",
        put("fanin.frameworks.jax.reading.pointwise", "TOLERANCE", 10.0),
        ("frameworks/test_jax_reading.py::test_no_activation_is_seen_where_fanin_knows_none",),
    ),
    Mutant(
        "a model of JAX is measured as it was when it was traced",
        put("fanin.frameworks.jax.observe", "current", lambda made, model: made.opened),
        ("frameworks/test_jax_signals.py::test_a_plan_is_measured_in_place_where_there_is_a_place",),
    ),
    Mutant(
        "axes are not followed through a transpose",
        lambda patch: patch.setattr(
            "fanin.frameworks.jax.reading.views.View.order", lambda view, source, of: tuple(of)
        ),
        ("frameworks/test_jax_reading.py::test_a_weight_is_followed_through_a_transpose",),
    ),
)

test_the_tests_notice = noticed(MUTANTS, needs="flax")
