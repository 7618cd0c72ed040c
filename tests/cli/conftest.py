"""The user's folder and the command line, for tests that ask it something in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fanin.cli import app

Called = Callable[..., tuple[int, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """Where the test is, with a `net.py` that holds what its module calls `NET`."""
    (tmp_path / "net.py").write_text(request.module.NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def called(folder: Path) -> Called:
    """`called("plan", "net.py:deep")` is the exit code of `fanin plan net.py:deep` and what it prints."""

    def call(*arguments: str) -> tuple[int, str]:
        ended = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
        return ended.exit_code, ended.output

    return call
