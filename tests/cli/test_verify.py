"""`fanin verify`: whether a file of weights is the start that a plan and a seed make."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
from typer.testing import CliRunner

from fanin.cli import app
from fanin.errors import BadInput

NET = """
import torch
from torch import nn

def small():
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)), torch.zeros(8, 16)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    command = ["init", "net.py:small", "--out", "w.safetensors", "--json", "plan.json", "--seed", "7"]
    assert CliRunner().invoke(app, command).exit_code == 0
    return tmp_path


def verify(*further: str) -> tuple[int, str]:
    command = ["verify", "net.py:small", "w.safetensors", "--plan", "plan.json", *further]
    ended = CliRunner().invoke(app, command, catch_exceptions=False)
    return ended.exit_code, ended.stdout


def test_what_init_wrote_is_what_its_plan_says(folder: Path) -> None:
    code, printed = verify()
    assert code == 0
    assert "676 of 676 elements compared, bit for bit" in printed


def test_one_changed_value_and_another_seed_are_found(folder: Path) -> None:
    tensors = safetensors.torch.load_file("w.safetensors")
    tensors["2.weight"][1, 3] += 1
    safetensors.torch.save_file(tensors, "w.safetensors", {"fanin_seed": "7"})
    code, printed = verify("--json", "--blocks", "0")
    found = json.loads(printed)
    assert (code, found["ok"], found["seed"]) == (1, False, 7)
    assert [d["path"] for d in found["differences"]] == ["2.weight"]
    assert found["differences"][0]["element"] == [1, 3]
    assert verify("--seed", "8")[0] == 1


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: (f / "plan.json").unlink(), "There is no file 'plan.json'. `fanin init"),
        (lambda f: (f / "w.safetensors").unlink(), "There is no file 'w.safetensors'"),
        (lambda f: (f / "w.safetensors").write_bytes(b"no weights"), "does not hold this model's weights"),
        (lambda f: safetensors.torch.save_file({}, f / "w.safetensors"), "does not hold this model's weights"),
    ],
)
def test_files_that_are_not_there_or_of_something_else_are_named(folder: Path, spoil: object, says: str) -> None:
    spoil(folder)  # type: ignore[operator]
    with pytest.raises(BadInput, match=says.replace("(", r"\(").replace(".", r"\.")):
        verify()


def test_weights_that_do_not_say_their_seed_need_one(folder: Path) -> None:
    safetensors.torch.save_file(safetensors.torch.load_file("w.safetensors"), "w.safetensors")
    with pytest.raises(BadInput, match="Give it: --seed 0"):
        verify()
    assert verify("--seed", "7")[0] == 0
