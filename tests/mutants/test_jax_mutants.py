"""Defects of the adapters to JAX and Flax."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from noticing import Mutant, noticed, put

from fanin.frameworks.closer import looked_at
from fanin.graph import Fans
from fanin.initializers import Target


def drawn_as_stored(what: Any, target: Target, seed: Any, shape: Any, order: Any, sharding: Any) -> Any:
    """JAX's drawing, with the elements of the stream in row-major order of the array as it is stored."""
    draw = importlib.import_module("fanin.frameworks.jax.draw")
    law = what.sampling(target)
    if law is None:
        return draw.full(what.law(target).mean, tuple(shape), np.dtype(target.dtype), sharding)
    return draw.draw(law, seed, target.name, tuple(shape), np.dtype(target.dtype), out_sharding=sharding)


def dead_by_elements(xp: Any, x: Any, look: Any) -> Any:
    """Elements that are 0 counted in the place of units."""
    return looked_at(xp, x, look)._replace(dead=(x == 0).mean())


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
    Mutant(
        "a unit that is 0 once is dead",
        put("fanin.frameworks.closer", "looked_at", dead_by_elements),
        ("frameworks/test_closer.py::test_arrays_show_what_their_definitions_say",),
    ),
    Mutant(
        "the gradient at a layer is that of one element",
        put("fanin.frameworks.watched", "squared_norm", lambda seen, shape: seen.second_moment),
        ("monitor/test_jax_watch.py::test_a_kept_batch_shows_what_flows_through_layers_as_a_measurement_does",),
    ),
    Mutant(
        "a step of JAX is looked at whether it is watched or not",
        put("fanin.frameworks.jax.watch", "cond", lambda when, looked, skipped, of: looked(of)),
        ("monitor/test_jax_watch.py::test_between_watched_steps_nothing_is_computed_and_nothing_waits",),
    ),
    Mutant(
        "an array of JAX is there at once",
        put("fanin.frameworks.arriving", "_is_here", lambda number: True),
        ("monitor/test_jax_watch.py::test_between_watched_steps_nothing_is_computed_and_nothing_waits",),
    ),
    Mutant(
        "a class token for all samples makes positions of the samples",
        put("fanin.signals.rules.concatenation", "_repeated_as", lambda part, axes, dim: part),
        ("frameworks/test_jax_signals.py::test_a_class_token_for_all_samples_is_as_many_times_there",),
    ),
    Mutant(
        "every result of an LSTM's step is h",
        put("fanin.frameworks.jax.sequences", "_hidden", lambda cell: frozenset({0, 1, 2})),
        ("frameworks/test_jax_sequences.py::test_the_state_that_a_sequence_does_not_show_keeps_its_steps",),
    ),
    Mutant(
        "any loss is a cross-entropy over classes",
        put("fanin.frameworks.stakes", "_cancels", lambda slope, axis: True),
        ("frameworks/test_framework_losses.py::test_chance_is_the_loss_of_logits_that_are_0",),
    ),
    Mutant(
        "any loss of ln 2 is of a choice between two, and no other",
        put("fanin.frameworks.stakes", "NEAR", -1.0),
        ("frameworks/test_framework_losses.py::test_chance_is_the_loss_of_logits_that_are_0",),
    ),
    Mutant(
        "draws of a gradient add up",
        put("fanin.frameworks.losses", "_mean", lambda of: of[0].times(len(of))),
        ("frameworks/test_framework_losses.py::test_a_predicted_loss_and_its_gradients_are_those_of_pytorch",),
    ),
)

test_the_tests_notice = noticed(MUTANTS, needs="flax")
