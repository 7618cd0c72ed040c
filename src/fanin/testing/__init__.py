"""CONFORMANCE: what every initializer promises, as functions that raise AssertionError.

A third party tests its own law in one line, `assert_conforms(MyLaw(0.1))`, or a table of them, `assert_all_conform(…)`.
To add a promise: a function in initializers.py and its call in `assert_conforms`.
"""

from fanin.testing.initializers import (
    COMPLEX_TARGETS,
    TARGETS,
    assert_all_conform,
    assert_conforms,
    assert_draws_are_pure,
    assert_law_is_measured,
    assert_round_trips,
    assert_structure_holds,
)
from fanin.testing.tolerance import mean_tolerance, rounding_tolerance, std_tolerance

__all__ = [
    "COMPLEX_TARGETS",
    "TARGETS",
    "assert_all_conform",
    "assert_conforms",
    "assert_draws_are_pure",
    "assert_law_is_measured",
    "assert_round_trips",
    "assert_structure_holds",
    "mean_tolerance",
    "rounding_tolerance",
    "std_tolerance",
]
