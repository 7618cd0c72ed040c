"""Defects of laws and initializers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from noticing import Mutant, noticed, put

from fanin.graph import Fans
from fanin.initializers import Jittered, Law, Normal, Sparse, Target, Uniform
from fanin.stream import Distribution, key, sample
from fanin.stream.gaussian import TruncatedMoments
from fanin.stream.laws import NORMAL
from fanin.stream.reference import ROUNDED

SUITE = "testing/test_initializer_suite.py"
LAWS = "initializers/test_initializer_laws.py"
LAW_OF_SPARSE = Sparse.law


def signs_of_lapack(seed: int, name: str, rows: int, columns: int) -> Any:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(rows, columns)))[0]


def uniformly(stream: Any, elements: Any, sampled: Distribution, **dtype: Any) -> Any:
    kind, *_, unit, _ = sampled.law
    same_std = Uniform.of_std(unit * 2**27).sampling(Target("w", ())) if kind == NORMAL else sampled
    return sample(stream, elements, same_std, **dtype)


MUTANTS = (
    Mutant(
        "fan_out used where fan_in is meant",
        lambda patch: patch.setattr(Fans, "of", lambda fans, mode: fans.fan_out),
        (f"{LAWS}::test_the_std_is_that_of_the_closed_form", "plans/test_recipes.py"),
    ),
    Mutant(
        "he_normal without its gain",
        put("fanin.initializers.variance_scaling", "_rectifier_gain", lambda negative_slope: 1.0),
        (f"{LAWS}::test_a_fan_that_is_given_needs_no_operation", "plans/test_recipes.py"),
    ),
    Mutant(
        "a truncated law without the correction of its std",
        put("fanin.initializers.truncated_normal", "truncated_std", lambda cut: 1.0),
        (
            f"{SUITE}::test_every_initializer_of_the_literal_conforms",
            f"{LAWS}::test_the_declared_law_is_measured_with_other_arguments",
        ),
    ),
    Mutant(
        "an asymmetric cut whose realised mean is forgotten",
        put("fanin.initializers.truncated_normal", "truncated_moments", lambda a, b: TruncatedMoments(0.0, 0.88, 3.0)),
        ("initializers/test_truncated_laws.py::test_a_draw_between_any_cuts_has_the_mean_and_std_that_are_asked_for",),
    ),
    Mutant(
        "complex numbers of twice the variance",
        put("fanin.initializers.base", "COMPONENT_SCALE", 1.0),
        (
            f"{LAWS}::test_a_complex_draw_is_two_of_half_the_variance",
            f"{SUITE}::test_every_initializer_of_the_literal_conforms_in_complex_numbers",
        ),
    ),
    Mutant(
        "parts all drawn under one name",
        put("fanin.initializers.parts", "part_name", lambda target, part: target.name),
        ("initializers/test_parts.py",),
    ),
    Mutant(
        "a projection that is not one",
        put("fanin.initializers.isometry", "_product", lambda a, b: a @ b * 1.001),
        ("initializers/test_structured.py", f"{SUITE}::test_every_initializer_of_the_literal_conforms"),
    ),
    Mutant(
        "a bilinear kernel that is skewed for odd sizes",
        put("fanin.initializers.bilinear", "_tent", lambda k, i: 2 * ((k + 1) // 2) - abs(2 * i - k + 1 + k % 2)),
        ("initializers/test_structured.py",),
    ),
    Mutant(
        "a dirac kernel whose groups are ignored",
        put("fanin.initializers.identity", "max", lambda a, b: 1 << 40),
        ("initializers/test_structured.py",),
    ),
    Mutant(
        "a draw that ignores the name",
        put("fanin.initializers.base", "key", lambda seed, name, **more: key(seed, "weight", **more)),
        ("testing/test_initializer_suite.py",),
    ),
    Mutant(
        "a draw that ignores the seed",
        put("fanin.initializers.base", "key", lambda seed, name, **more: key(0, name, **more)),
        ("testing/test_initializer_suite.py",),
    ),
    Mutant(
        "a QR decomposition with the signs of LAPACK",
        put("fanin.initializers.orthogonal", "by_qr", signs_of_lapack),
        (
            "initializers/test_initializer_laws.py::test_qr_is_haar",
            f"{SUITE}::test_orthogonal_matrices_with_the_signs_of_lapack_are_noticed",
        ),
    ),
    Mutant(
        "all draws zero",
        put("fanin.initializers.base", "sample", lambda key, elements, law, dtype: np.zeros(len(elements), dtype)),
        (f"{SUITE}::test_every_initializer_of_the_literal_conforms",),
    ),
    Mutant(
        "a normal law drawn uniformly, of the same std",
        put("fanin.initializers.base", "sample", uniformly),
        (f"{SUITE}::test_every_initializer_of_the_literal_conforms",),
    ),
    Mutant(
        "the kurtosis of a sparse law taken for that of its non-zero elements",
        lambda patch: patch.setattr(
            Sparse, "law", lambda what, target: replace(LAW_OF_SPARSE(what, target), kurtosis=3.0)
        ),
        (f"{SUITE}::test_every_initializer_of_the_literal_conforms",),
    ),
    Mutant(
        "the std of a sparse law taken for that of its non-zero elements",
        lambda patch: patch.setattr(Sparse, "law", lambda sparse, target: Law(0.0, sparse.std, kurtosis=30.0)),
        (
            f"{SUITE}::test_every_initializer_of_the_literal_conforms",
            f"{LAWS}::test_the_declared_law_is_measured_with_other_arguments",
        ),
    ),
    Mutant(
        "bfloat16 by cutting off",
        put("fanin.initializers.base", "ROUNDED", ROUNDED | {"bfloat16": lambda x: (x.view("u4") >> 16).astype("u2")}),
        (f"{SUITE}::test_every_initializer_of_the_literal_conforms",),
    ),
    Mutant(
        "noise of the absolute size that is meant as a share",
        lambda patch: patch.setattr(Jittered, "_noise", lambda what, law: Normal(what.relative_std)),
        ("initializers/test_jittered.py::test_it_is_relative_to_the_rms_so_that_zeros_stay_zeros",),
    ),
)

test_the_tests_notice = noticed(MUTANTS)
