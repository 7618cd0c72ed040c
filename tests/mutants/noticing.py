"""Would the tests notice? Each mutant is a defect patched into the library; the tests named with it must fail.

To add one: a line in `MUTANTS` of the file of its subject, beside this one.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import io
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Mutant:
    """A defect and the test files each of which must notice it; the test itself (file::test) where the file is long."""

    defect: str
    patch: Patch
    noticed_by: tuple[str, ...]


def put(module: str, name: str, value: object) -> Patch:
    """Replace what a module means by a name, builtins included; tests that import the name itself do not see it."""

    def replaced(patch: pytest.MonkeyPatch) -> None:
        there = importlib.import_module(module)
        assert hasattr(there, name) or hasattr(builtins, name), f"{module} has no {name} to be replaced"
        patch.setattr(there, name, value, raising=False)

    return replaced


def noticed(mutants: Iterable[Mutant], needs: str = "torch") -> Callable[..., None]:
    """A test for each mutant and each of the files that must notice it.

    Args:
        needs: a package without which there is nothing to notice them with.
    """

    @pytest.mark.skipif(find_spec(needs) is None, reason=f"{needs} is not installed")
    @pytest.mark.parametrize(
        ("mutant", "file"),
        [pytest.param(m, file, id=f"{m.defect} - {file}") for m in mutants for file in m.noticed_by],
    )
    def the_tests_notice(mutant: Mutant, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
        forget_what_is_remembered()
        try:
            with monkeypatch.context() as patch:
                mutant.patch(patch)
                outcome = run(file)
        finally:
            forget_what_is_remembered()
            leave_modes()
        assert outcome.failures, f"all {outcome.passed} tests of {file} pass with {mutant.defect}"
        assert isinstance(outcome.failures[0], AssertionError), "the defect should be noticed, not stumbled over"

    return the_tests_notice


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
    # Looking for what was never awaited or closed collects garbage twice, which takes longer than most of these tests.
    without = [f"no:{name}" for name in ("cacheprovider", "unraisableexception", "threadexception")]
    options = ["--exitfirst", *(f"-p{name}" for name in without), "-o", "addopts=--import-mode=importlib"]
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        ended = pytest.main([str(TESTS / file), *options], plugins=[outcome])
    assert ended in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED), shown.getvalue()
    return outcome


def forget_what_is_remembered() -> None:
    """A function that remembers its results may hold the right ones, and must not keep a mutant's."""
    for name, module in list(sys.modules.items()):
        if name.startswith("fanin."):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def leave_modes() -> None:
    """A mode of PyTorch that a mutant did not leave would see all that this process runs from here on."""
    torch = sys.modules.get("torch")
    while torch is not None and (mode := torch.overrides._get_current_function_mode()) is not None:
        mode.__exit__(None, None, None)
