"""Defects of the adapter to Paddle."""

from __future__ import annotations

import contextlib

from noticing import Mutant, noticed, put

MUTANTS = (
    Mutant(
        "the fans of Paddle's layers are read from the shape",
        put("fanin.frameworks.paddle.layouts", "LAYOUTS", {}),
        ("compat/test_compat_paddle.py",),
    ),
    Mutant(
        "Kaiming's laws without the gain",
        put("fanin.compat.paddle.initializers", "calculate_gain", lambda nonlinearity, slope: 1.0),
        ("compat/test_compat_paddle.py::test_the_standard_deviation",),
    ),
    Mutant(
        "a dense weight of Paddle is drawn as it is stored, (in, out)",
        put("fanin.frameworks.paddle.parameters", "known_layout", lambda layer, shape: None),
        (
            "frameworks/test_paddle_same_bits.py::test_the_digest_is_that_of_pytorch",
            "frameworks/test_paddle_write.py::test_dense_weights_are_stored_in_out",
        ),
    ),
    Mutant(
        "a layer of Paddle is described by the operations inside it",
        put("fanin.frameworks.paddle.trace", "owners", lambda runs: {}),
        ("frameworks/test_paddle_fans.py::test_fans_of_the_layer_with_a_batch_and_without",),
    ),
    Mutant(
        "what a Paddle model keeps of its symbolic run stays with it",
        put("fanin.frameworks.paddle.record", "undisturbed", lambda model: contextlib.nullcontext()),
        ("frameworks/test_paddle_trace.py::test_the_model_does_not_notice",),
    ),
    Mutant(
        "nobody is told that a plan took the place of a layer's own initializer",
        put("fanin.frameworks.paddle.model", "warn_of_overridden", lambda plan, given: None),
        ("frameworks/test_paddle_write.py::test_an_initializer_of_the_layer_is_named_with_the_plans",),
    ),
    Mutant(
        "how alike samples are is not looked at outside PyTorch",
        put("fanin.frameworks.measured", "alikeness", lambda looked, axes, second: (None, None)),
        ("frameworks/test_paddle_same_bits.py::test_a_diagnosis_is_that_of_pytorch",),
    ),
    Mutant(
        "parameters of Paddle that share a name are one",
        put("fanin.frameworks.paddle.record", "names_of_their_own", lambda model: contextlib.nullcontext()),
        ("frameworks/test_paddle_trace.py::test_names_that_two_parameters_share",),
    ),
    Mutant(
        "a unit of Paddle that is 0 once is dead",
        put("fanin.frameworks.paddle.step_forward", "dead_share", lambda x, axis: (x == 0).astype("float32").mean()),
        ("monitor/test_paddle_watch.py::test_layers_are_seen_as_they_are",),
    ),
    Mutant(
        "gradients of Paddle are read when the step ends",
        put("fanin.frameworks.paddle.watch_steps", "UPDATES", ()),
        ("monitor/test_paddle_watch.py::test_gradients_are_seen_before_they_are_cleared_where_the_optimizer_is_given",),
    ),
)

test_the_tests_notice = noticed(MUTANTS, needs="paddle")
