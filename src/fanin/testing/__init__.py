"""CONFORMANCE: what every initializer promises, as functions that raise AssertionError.

And a model's start: `assert_healthy(model, x)`. A third party tests its own law in one line, or a table of them:
`assert_conforms(MyLaw(0.1))`, `assert_all_conform(…)`.
An initializer that is no `Initializer`: `Foreign(call, declares)`, and `assert_law_is_measured` and the like on it.
A rule of prediction is put beside the operation itself: `assert_rules_hold([RuleCase(…)], RULES | {"my_op": rule})`.
To add a promise of one draw: a function of a `Sample`, a line in `MEASURED`; another: a call in `assert_conforms`.
"""

from fanin.testing.expect import Broken
from fanin.testing.foreign import Foreign
from fanin.testing.haar import assert_haar_distributed
from fanin.testing.healthy import assert_healthy
from fanin.testing.initializers import (
    COMPLEX_TARGETS,
    SHAPES,
    TARGETS,
    assert_all_conform,
    assert_conforms,
    assert_draws_are_pure,
    assert_draws_follow_the_seed,
    assert_law_is_measured,
    assert_round_trips,
    assert_structure_holds,
)
from fanin.testing.measured import MEASURED, Sample
from fanin.testing.signals import BrokenRule, Drawn, RuleCase, assert_rules_hold
from fanin.testing.tolerance import (
    distinct_tolerance,
    ks_tolerance,
    kurtosis_tolerance,
    mean_tolerance,
    rounding_tolerance,
    std_tolerance,
)

__all__ = [
    "COMPLEX_TARGETS",
    "MEASURED",
    "SHAPES",
    "TARGETS",
    "Broken",
    "BrokenRule",
    "Drawn",
    "Foreign",
    "RuleCase",
    "Sample",
    "assert_all_conform",
    "assert_conforms",
    "assert_draws_are_pure",
    "assert_draws_follow_the_seed",
    "assert_haar_distributed",
    "assert_healthy",
    "assert_law_is_measured",
    "assert_round_trips",
    "assert_rules_hold",
    "assert_structure_holds",
    "distinct_tolerance",
    "ks_tolerance",
    "kurtosis_tolerance",
    "mean_tolerance",
    "rounding_tolerance",
    "std_tolerance",
]
