"""Would the tests notice? Each mutant is a defect patched into the library; the tests named with it must fail.

To add one: a line in `MUTANTS`.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fanin.diagnosis import Evidence
from fanin.graph import Fans, Role
from fanin.initializers import Normal
from fanin.plans.by_role import NORMS_AT_IDENTITY, PLAIN, always
from fanin.signals import LayerSignal
from fanin.stream import key

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


@dataclass(frozen=True)
class Mutant:
    """A defect and the test files each of which must notice it."""

    defect: str
    patch: Patch
    noticed_by: tuple[str, ...]


MUTANTS = (
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
        "auto without the gain of an activation that is no rectifier",
        put("fanin.plans.recipes.auto", "_forward_gain", lambda phi: 1.0),
        ("diagnosis/test_checks.py::test_a_net_started_by_auto_is_healthy", "plans/test_recipes.py"),
    ),
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
)


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
