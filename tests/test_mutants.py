"""Would the tests notice? Each mutant is a defect patched into the library; the tests named with it must fail.

To add one: a line in `MUTANTS`.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fanin.activations.mean_field import gradient_growth
from fanin.compat.layout import Layout
from fanin.diagnosis import Evidence
from fanin.graph import Fans, Role
from fanin.initializers import Law, Normal, Sparse
from fanin.plans.by_role import NORMS_AT_IDENTITY, PLAIN, always
from fanin.signals import LayerSignal
from fanin.stream import Distribution, key, masks, reflections, truncated_law
from fanin.stream.gaussian import truncated_std

TESTS = Path(__file__).parent
Patch = Callable[[pytest.MonkeyPatch], None]


def put(module: str, name: str, value: object) -> Patch:
    """Replace what a module means by a name, builtins included."""
    return lambda patch: patch.setattr(importlib.import_module(module), name, value, raising=False)


def random_norm_scales(patch: pytest.MonkeyPatch) -> None:
    """As in paddle: one rule for biases and everything else that is a vector."""
    for rules in (PLAIN, NORMS_AT_IDENTITY):
        patch.setitem(rules, Role.NORM_SCALE, always(Normal(0.1), "like any vector"))


def same(evidence: Evidence, seen: LayerSignal) -> bool:
    """All units have the same weights, whatever their gradients."""
    return evidence.weight(seen.layer).same_rows


def signs_of_lapack(seed: int, name: str, rows: int, columns: int) -> Any:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(rows, columns)))[0]


def first_columns(stream: Any, m: int, columns: Any, rows: Any, out: Any) -> None:
    """As many columns as are asked for, but the first ones."""
    reflections.haar_columns(stream, m, np.arange(len(columns)), rows, out)


def without_ties(stream: Any, groups: Any, asked: Any, keep: int, word: Any, place: Any) -> None:
    FIND_THRESHOLDS(stream, groups, asked, keep, word, place)
    place[:] = -1


def of_realised_std(std: float, low: float, high: float, *, mean: float) -> Distribution:
    return truncated_law(std / truncated_std(high), low, high, mean=mean)


FIND_THRESHOLDS = masks._find_thresholds


@dataclass(frozen=True)
class Mutant:
    """A defect and the test files each of which must notice it."""

    defect: str
    patch: Patch
    noticed_by: tuple[str, ...]


MUTANTS: tuple[Mutant, ...] = (
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
        "fan_out used where fan_in is meant",
        lambda patch: patch.setattr(Fans, "of", lambda fans, mode: fans.fan_out),
        ("initializers/test_initializer_laws.py", "plans/test_recipes.py"),
    ),
    Mutant(
        "he_normal without its gain",
        put("fanin.initializers.variance_scaling", "_rectifier_gain", lambda negative_slope: 1.0),
        ("initializers/test_initializer_laws.py", "plans/test_recipes.py"),
    ),
    Mutant(
        "a truncated law without the correction of its std",
        put("fanin.initializers.truncated_normal", "truncated_std", lambda cut: 1.0),
        ("testing/test_initializer_suite.py", "initializers/test_initializer_laws.py"),
    ),
    Mutant(
        "a rule for biases that randomizes norm scales",
        random_norm_scales,
        ("plans/test_recipes.py",),
    ),
    Mutant(
        "a draw that ignores the name",
        put("fanin.initializers.normal", "key", lambda seed, name: key(seed, "weight")),
        ("testing/test_initializer_suite.py",),
    ),
    Mutant(
        "a draw that ignores the seed",
        put("fanin.initializers.uniform", "key", lambda seed, name: key(0, name)),
        ("testing/test_initializer_suite.py",),
    ),
    Mutant(
        "a QR decomposition with the signs of LAPACK",
        put("fanin.initializers.orthogonal", "by_qr", signs_of_lapack),
        ("initializers/test_initializer_laws.py::test_qr_is_haar",),
    ),
    Mutant(
        "an orthogonal kernel that adds the rows of a sum in one go",
        put("fanin.stream.reflections", "PANEL", 1 << 30),
        ("stream/test_stream_orthogonal.py::test_the_kernel_has_the_bits_of_the_reference_for_whole_matrices",),
    ),
    Mutant(
        "a part of an orthogonal matrix numbered as if it were the whole",
        put("fanin.stream.orthogonal", "_engine", lambda multiply_adds: SimpleNamespace(haar_columns=first_columns)),
        ("stream/test_stream_orthogonal.py::test_a_part_has_the_bits_of_the_whole",),
    ),
    Mutant(
        "a mask whose groups are always rows",
        lambda patch: patch.setattr(masks._Groups, "of", lambda groups, e: (e // groups.length, e % groups.length)),
        ("stream/test_stream_masks.py", "initializers/test_initializer_laws.py"),
    ),
    Mutant(
        "a mask that drops an element whenever words are equal",
        put("fanin.stream.masks", "_find_thresholds", without_ties),
        ("stream/test_stream_masks.py::test_of_equal_words_the_first_are_kept",),
    ),
    Mutant(
        "the std of a sparse law taken for that of its non-zero elements",
        lambda patch: patch.setattr(Sparse, "law", lambda sparse, target: Law(0.0, sparse.std, kurtosis=30.0)),
        ("testing/test_initializer_suite.py", "initializers/test_initializer_laws.py"),
    ),
    Mutant(
        "bfloat16 by cutting off",
        put("fanin.initializers.base", "to_bfloat16_bits", lambda x: (x.view("u4") >> 16).astype("u2")),
        ("testing/test_initializer_suite.py",),
    ),
    Mutant(
        "the activation of any branch taken for that of the layer",
        put("fanin.graph.layers", "all", lambda activations: True),
        ("graph/test_layers.py",),
    ),
    Mutant(
        "layers told apart by their first and last number only",
        put("fanin.plans.text", "_combinations", lambda group: [group]),
        ("plans/test_plan_text.py",),
    ),
    Mutant(
        "a vanishing net reported as healthy",
        put("fanin.diagnosis.checks.trend", "NOTICEABLE", 1e300),
        ("diagnosis/test_checks.py",),
    ),
    Mutant(
        "any one layer out of range taken for a trend",
        put("fanin.diagnosis.checks.trend", "takewhile", filter),
        ("diagnosis/test_checks.py::test_a_side_branch_with_a_small_signal_is_no_trend",),
    ),
    Mutant(
        "symmetry judged by the weights alone, so that a zero head is a finding",
        put(
            "fanin.diagnosis.checks.symmetric",
            "_symmetric_layers",
            lambda seen: [s for s in seen.layers if same(seen, s)],
        ),
        ("diagnosis/test_checks.py::test_a_head_that_starts_at_zero_on_purpose_is_not_symmetric",),
    ),
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
    Mutant(
        "auto without the gain of an activation that is no rectifier",
        put("fanin.plans.recipes.auto", "_forward_gain", lambda phi: 1.0),
        ("diagnosis/test_checks.py::test_a_net_started_by_auto_is_healthy", "plans/test_recipes.py"),
    ),
    Mutant(
        "weights are not transposed into the layout of the framework",
        lambda patch: patch.setattr(Layout, "stored", lambda layout, values, shape: values.reshape(shape)),
        ("compat/test_layout.py", "compat/test_compat_numpy.py"),
    ),
)
OF_FRAMEWORKS = {
    "keras": (
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
            put("fanin.compat.keras.initializers", "truncated_law", of_realised_std),
            ("compat/test_compat_keras.py::test_the_bare_truncated_normal_means_what_keras_means",),
        ),
        Mutant(
            "a truncated law of Keras whose std is the one before the cut",
            put("fanin.initializers.truncated_normal", "truncated_std", lambda cut: 1.0),
            ("compat/test_compat_keras.py::test_the_standard_deviation_is_the_one_after_the_cut",),
        ),
    ),
    "paddle": (
        Mutant(
            "the fans of Paddle's layers are read from the shape",
            put("fanin.compat.paddle.layouts", "LAYOUTS", {}),
            ("compat/test_compat_paddle.py",),
        ),
        Mutant(
            "Kaiming's laws without the gain",
            put("fanin.compat.paddle.initializers", "calculate_gain", lambda nonlinearity, slope: 1.0),
            ("compat/test_compat_paddle.py::test_the_standard_deviation",),
        ),
    ),
}
MUTANTS += tuple(mutant for name, those in OF_FRAMEWORKS.items() if find_spec(name) for mutant in those)


@dataclass
class Outcome:
    """What an inner run of pytest saw."""

    passed: int = 0
    failures: list[BaseException] = field(default_factory=list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.passed += report.passed and report.when == "call"

    def pytest_exception_interact(self, call: pytest.CallInfo[None]) -> None:
        assert call.excinfo is not None
        self.failures.append(call.excinfo.value)


def run(file: str) -> Outcome:
    """The tests of one file, in this process, where the library is patched."""
    outcome = Outcome()
    options = ["--exitfirst", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        ended = pytest.main([str(TESTS / file), *options], plugins=[outcome])
    assert ended in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED), shown.getvalue()
    return outcome


@pytest.mark.parametrize(
    ("mutant", "file"),
    [pytest.param(m, file, id=f"{m.defect} - {file}") for m in MUTANTS for file in m.noticed_by],
)
def test_the_tests_notice(mutant: Mutant, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        mutant.patch(patch)
        outcome = run(file)
    assert outcome.failures, f"all {outcome.passed} tests of {file} pass with {mutant.defect}"
    assert isinstance(outcome.failures[0], AssertionError), "the defect should be noticed, not stumbled over"


def test_without_a_mutant_the_same_tests_pass() -> None:
    outcome = run("plans/test_recipes.py")
    assert outcome.passed
    assert not outcome.failures
