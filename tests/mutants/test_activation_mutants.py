"""Defects of what is known of activations."""

from __future__ import annotations

import math

from noticing import Mutant, noticed, put

from fanin.activations.mean_field import gradient_growth

MUTANTS = (
    Mutant(
        "χ without the variance of the weights",
        put("fanin.activations.mean_field", "gradient_growth", lambda phi, w, q: gradient_growth(phi, 1.0, q)),
        ("activations/test_mean_field.py::test_reference_depth_scales",),
    ),
    Mutant(
        "q* taken for where the variance starts",
        put("fanin.activations.mean_field", "settled", lambda phi, w, b, start: start),
        ("activations/test_mean_field.py::test_reference_depth_scales",),
    ),
    Mutant(
        "a correlation map that ignores the correlation",
        put("fanin.activations.mean_field", "_alike", lambda phi, c, q, derivative=False: 0.0),
        ("activations/test_mean_field.py::test_reference_depth_scales",),
    ),
    Mutant(
        "an angle without its quadrant",
        put("fanin.activations.closed_forms", "_angle", lambda p, q, k: math.asin(math.sqrt(1 - k * k / (p * q)))),
        ("activations/test_kernels.py::test_closed_forms_are_what_quadrature_finds",),
    ),
    Mutant(
        "a kernel of inputs that share nothing",
        put("fanin.activations.kernels", "abs", lambda c: 0.0),
        ("activations/test_kernels.py::test_closed_forms_are_what_quadrature_finds",),
    ),
)

test_the_tests_notice = noticed(MUTANTS)
