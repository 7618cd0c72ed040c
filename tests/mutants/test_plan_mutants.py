"""Defects of what is read from a model, and of what is planned for it."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from noticing import Mutant, noticed, put

from fanin.frameworks.torch.measuring.objectives import Objective, gradient_quotient
from fanin.graph import Fans, Parameter, Role
from fanin.graph.layout import Layout
from fanin.initializers import Normal
from fanin.plans import Measured
from fanin.plans.by_role import NORMS_AT_IDENTITY, PLAIN, always
from fanin.plans.learned import GradInit


def stored_shape(path: str, shape: tuple[int, ...], *further: Any, **named: Any) -> Any:
    """A parameter whose axes are turned."""
    return Parameter(path, shape[::-1], *further, **named)


def random_norm_scales(patch: pytest.MonkeyPatch) -> None:
    """As in paddle: one rule for biases and everything else that is a vector."""
    for rules in (PLAIN, NORMS_AT_IDENTITY):
        patch.setitem(rules, Role.NORM_SCALE, always(Normal(0.1), "like any vector"))


def quotient_turned(*arguments: Any) -> Objective:
    """As if a gradient that changes much were wanted."""
    return Objective(-gradient_quotient(*arguments).value)


MUTANTS = (
    Mutant(
        "the end of an adapter is drawn as that of any branch",
        put("fanin.plans.recipes.auto", "adapters", lambda graph: {}),
        ("plans/test_low_rank.py::test_what_is_pretrained_is_not_changed_and_adapters_can_learn",),
    ),
    Mutant(
        "rows of tables have unit entries, though their products make the output",
        put("fanin.plans.recipes.auto", "factors", lambda graph: {}),
        ("plans/test_dot_products.py::test_scores_have_a_second_moment_of_a_quarter",),
    ),
    Mutant(
        "rows are as large behind a norm as in their table",
        put("fanin.plans.dot_products", "NORMS", frozenset()),
        ("plans/test_dot_products.py::test_rows_behind_a_norm_stay_as_large_as_others",),
    ),
    Mutant(
        "a lookup is taken for a projection of its stream",
        put("fanin.graph.residual", "LOOKUPS", frozenset()),
        ("plans/test_dot_products.py::test_a_lookup_is_no_shortcut_of_a_residual_branch",),
    ),
    Mutant(
        "fan_in and fan_out swapped",
        put("fanin.graph.fans", "Fans", lambda fan_in, fan_out: Fans(fan_out, fan_in)),
        ("graph/test_fans.py",),
    ),
    Mutant(
        "a stride that is forgotten",
        put("fanin.graph.fans", "_divide", lambda connections, step: connections),
        ("graph/test_fans.py",),
    ),
    Mutant(
        "a rule for biases that randomizes norm scales",
        random_norm_scales,
        ("plans/test_recipes.py",),
    ),
    Mutant(
        "a renamed parameter is drawn under its path",
        put("fanin.plans.names", "_with", lambda parameter, name: parameter),
        ("plans/test_names.py",),
    ),
    Mutant(
        "a described parameter has the shape in which it is stored",
        put("fanin.graph.calls", "Parameter", stored_shape),
        ("graph/test_calls.py",),
    ),
    Mutant(
        "a bias that is added by hand ends the walk to the activation",
        put("fanin.graph.layers", "_adds_a_bias", lambda graph, node: False),
        ("graph/test_layers.py::test_a_bias_that_is_added_by_hand_belongs_to_its_layer",),
    ),
    Mutant(
        "the activation of any branch taken for that of the layer",
        put("fanin.graph.layers", "all", lambda activations: True),
        ("graph/test_layers.py",),
    ),
    Mutant(
        "layers told apart by their first and last number only",
        put("fanin.plans.repeated", "_combinations", lambda group, path: [group]),
        ("plans/test_plan_text.py",),
    ),
    Mutant(
        "auto without the gain of an activation that is no rectifier",
        put("fanin.plans.recipes.auto", "gain_for", lambda phi: 1.0),
        ("plans/test_recipes.py",),
    ),
    Mutant(
        "a law told from few values",
        put("fanin.plans.recognition.recognise", "FEWEST", 20),
        ("plans/test_recognition.py::test_few_values_are_too_few_to_tell",),
    ),
    Mutant(
        "the simplest law, however unlikely",
        put("fanin.plans.recognition.families", "TELLS_APART", math.inf),
        (
            "plans/test_recognition.py::test_normal_and_uniform_values_are_told_apart_from_the_first_size_that_is_enough",
        ),
    ),
    Mutant(
        "orthogonal by the products of vectors, whatever their lengths",
        put(
            "fanin.plans.recognition.structure",
            "np",
            SimpleNamespace(**vars(np) | {"abs": lambda x: np.abs(x) * (1 - np.eye(len(x)))}),
        ),
        ("plans/test_recognition.py::test_orthogonal_matrices_of_any_shape",),
    ),
    Mutant(
        "a tolerance of a std that does not shrink with the number of values",
        lambda patch: patch.setattr(Measured, "std_error", lambda seen, kurtosis=3.0: 0.1),
        ("plans/test_recognition.py::test_the_tolerance_of_a_std_is_that_of_so_many_values",),
    ),
    Mutant(
        "weights are not transposed into the layout of the framework",
        lambda patch: patch.setattr(Layout, "stored", lambda layout, values, shape: values.reshape(shape)),
        ("graph/test_layout.py", "compat/test_compat_numpy.py"),
    ),
    Mutant(
        "a gradient quotient that is made large",
        put("fanin.frameworks.torch.measuring.learned", "gradient_quotient", quotient_turned),
        ("plans/test_learned.py::test_metainit_finds_the_layer_that_is_ten_times_too_wide",),
    ),
    Mutant(
        "steps of GradInit without a bound on the gradient",
        lambda patch: patch.setattr(GradInit, "bound", math.inf),
        ("plans/test_learned.py::test_the_bound_counts_before_the_loss",),
    ),
    Mutant(
        "noise on whatever is fixed, norms and biases too",
        put("fanin.plans.jitter", "WEIGHTS", frozenset(Role)),
        ("plans/test_jitter.py::test_structured_weights_get_noise_and_nothing_else_does",),
    ),
)

test_the_tests_notice = noticed(MUTANTS)
