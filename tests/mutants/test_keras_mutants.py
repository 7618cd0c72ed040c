"""Defects of the adapter to Keras."""

from __future__ import annotations

import contextlib
import importlib
from types import SimpleNamespace
from typing import Any

import pytest
from noticing import Mutant, noticed, put

from fanin.graph.layout import Layout
from fanin.initializers import TruncatedNormal


def opaque_unless_known(layer: Any) -> Any:
    """Every layer that is not the model itself is described from outside."""
    layers = importlib.import_module("fanin.frameworks.keras.layers")
    known = layers.describer_of(layer)
    return known or (layers.opaque if type(layer).__name__ == "Block" else None)


def kept_by_nobody(patch: pytest.MonkeyPatch) -> None:
    """Copies of what was there are copies of nothing."""
    keras = importlib.import_module("keras")
    ops = SimpleNamespace(**{**vars(keras.ops), "copy": keras.ops.zeros_like})
    put("fanin.frameworks.keras.model", "keras", SimpleNamespace(**{**vars(keras), "ops": ops}))(patch)


MUTANTS = (
    Mutant(
        "kernels of Keras are filled as if PyTorch stored them",
        lambda patch: patch.setattr(Layout, "stored", lambda layout, values, shape: values.reshape(shape)),
        ("test_same_bits.py::test_a_start_is_the_same_in_every_framework",),
    ),
    Mutant(
        "a subclassed layer of Keras is not looked into",
        put("fanin.frameworks.keras.trace", "describer_of", opaque_unless_known),
        ("frameworks/test_keras_models.py::test_a_subclassed_model_is_looked_into",),
    ),
    Mutant(
        "the activation that a layer of Keras has is measured as a part of it",
        put("fanin.frameworks.keras.replay", "_bare", lambda layer: contextlib.nullcontext()),
        ("frameworks/test_keras_signals.py::test_moments_are_those_of_a_hand_written_pass",),
    ),
    Mutant(
        "variables of Keras are not put back after a failure",
        kept_by_nobody,
        ("frameworks/test_keras_models.py::test_a_failure_leaves_every_variable_as_it_was",),
    ),
    Mutant(
        "an initializer of Keras does not look for its variable, so that all weights have one name",
        put("fanin.compat.keras.initializers", "variable_in_the_making", lambda: None),
        ("compat/test_compat_keras.py",),
    ),
    Mutant(
        "the layer of a variable made after the trace of a call is not found",
        put("fanin.compat.keras.layouts", "_owner", lambda variable: None),
        ("compat/test_compat_keras.py",),
    ),
    Mutant(
        "the stddev of Keras's TruncatedNormal is taken for the one after the cut",
        put("fanin.compat.keras.initializers", "keras_truncated_normal", TruncatedNormal),
        ("compat/test_compat_keras.py::test_the_bare_truncated_normal_means_what_keras_means",),
    ),
    Mutant(
        "a truncated law of Keras whose std is the one before the cut",
        put("fanin.initializers.truncated_normal", "truncated_std", lambda cut: 1.0),
        ("compat/test_compat_keras.py::test_the_standard_deviation_is_the_one_after_the_cut",),
    ),
)

test_the_tests_notice = noticed(MUTANTS, needs="keras")
