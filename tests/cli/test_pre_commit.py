"""The hook of .pre-commit-hooks.yaml: it parses, it installs what it needs, and its command runs."""

from __future__ import annotations

import json
import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fanin.cli import main

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def hooks() -> list[dict[str, Any]]:
    """The file is kept to lines of `key: value`, a list or a word each, which need no library to read."""
    found: list[dict[str, Any]] = []
    for line in (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        match = re.fullmatch(r"(- |  )([a-z_]+): (\S.*)", line)
        assert match, line
        start, key, value = match.groups()
        if start == "- ":
            found.append({})
        assert key not in found[-1]
        found[-1][key] = json.loads(value) if value.startswith("[") or value in ("true", "false") else value
    return found


(HOOK,) = (hook for hook in hooks() if hook["id"] == "fanin-check")


def test_it_has_what_pre_commit_requires_and_takes_no_file_names() -> None:
    assert {"id", "name", "entry", "language"} <= HOOK.keys()
    assert (HOOK["language"], HOOK["pass_filenames"]) == ("python", False)


def test_it_installs_what_a_model_needs() -> None:
    assert HOOK["additional_dependencies"] == PROJECT["optional-dependencies"]["torch"]


def test_its_command_runs_with_the_factory_as_an_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [*shlex.split(HOOK["entry"]), "net.py:net"]
    assert command[0] in PROJECT["scripts"]
    (tmp_path / "net.py").write_text("import torch\ndef net():\n    return torch.nn.Linear(8, 8), torch.randn(4, 8)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
