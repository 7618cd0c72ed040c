"""`fanin init`: a file that plain PyTorch loads, whole or not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn
from typer.testing import CliRunner

import fanin
from fanin.cli import app
from fanin.errors import BadInput
from fanin.files import replacing
from fanin.frameworks.torch.writing.save import save

NET = """
import torch
from torch import nn
import fanin

def small():
    return nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4)), torch.zeros(8, 16)

def tied():
    net = nn.ModuleDict({"table": nn.Embedding(10, 8), "out": nn.Linear(8, 10, bias=False)})
    net.out.weight = net.table.weight
    return net

def on_meta():
    with torch.device("meta"):
        return nn.Sequential(nn.Linear(16, 4))

def slow():
    return nn.Sequential(*[nn.Linear(1024, 1024) for _ in range(400)])
"""


def init(*arguments: str) -> str:
    ended = CliRunner().invoke(app, ["init", *arguments], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_the_file_is_the_model_that_initialize_makes(folder: Path) -> None:
    override = ["--override", "3.bias=constant(value=0.5)"]
    printed = init(
        *("net.py:small", "--recipe", "he", "--seed", "7", "--out", "w.safetensors", "--json", "plan.json"), *override
    )
    net: Any = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4))
    net.load_state_dict(safetensors.torch.load_file("w.safetensors"))  # strict: statistics of the norm as well
    plan = fanin.Plan.from_json(Path("plan.json").read_text())
    assert fanin.verify(net, plan, seed=7, blocks=None).ok
    assert net[3].bias.tolist() == [0.5] * 4
    with safetensors.safe_open("w.safetensors", "pt") as file:
        facts = file.metadata()
    assert facts["fanin_digest"] == plan.digest(7)
    assert (facts["fanin_seed"], facts["fanin_recipe"], facts["fanin_version"]) == ("7", "he", fanin.__version__)
    assert facts["format"] == "pt"
    size = Path("w.safetensors").stat().st_size
    assert printed == f"w.safetensors: 740 parameters, {size:,} bytes, seed 7, digest {plan.digest(7)[:12]}\n"
    assert sorted(p.name for p in folder.iterdir() if p.is_file()) == ["net.py", "plan.json", "w.safetensors"]


@pytest.mark.parametrize("command", ["plan", "init"])
def test_a_file_of_overrides_and_what_the_command_line_adds(command: str, folder: Path) -> None:
    (folder / "init.toml").write_text('"role:bias" = "ones"\n"0.*" = "constant(value=2)"\n')
    arguments = ["net.py:small", "--overrides", "init.toml", "--override", "role:bias=constant(value=3)"]
    if command == "plan":
        printed = CliRunner().invoke(app, ["plan", *arguments, "--json"], catch_exceptions=False).stdout
        plan = fanin.Plan.from_json(printed)
    else:
        init(*arguments, "--out", "w.safetensors", "--json", "plan.json")
        plan = fanin.Plan.from_json(Path("plan.json").read_text())
    found = {e.parameter.path: str(e.initializer) for e in plan}
    assert (found["0.weight"], found["0.bias"], found["3.bias"]) == ("Constant(value=2)", *["Constant(value=3)"] * 2)


def test_a_tied_tensor_is_written_once_and_loads_back(folder: Path) -> None:
    init("net.py:tied", "--recipe", "normal(std=0.02)", "--out", "w.safetensors")
    assert len(safetensors.torch.load_file("w.safetensors")) == 1
    net = nn.ModuleDict({"table": nn.Embedding(10, 8), "out": nn.Linear(8, 10, bias=False)})
    net["out"].weight = net["table"].weight
    safetensors.torch.load_model(net, "w.safetensors")
    assert fanin.verify(net, fanin.plan(net, recipe="normal(std=0.02)"), seed=0)


def test_a_model_on_the_meta_device_gets_its_memory_first(folder: Path) -> None:
    init("net.py:on_meta", "--input", "2,16", "--recipe", "he", "--out", "w.safetensors")
    net: Any = nn.Sequential(nn.Linear(16, 4))
    fanin.initialize_(net, torch.zeros(2, 16), recipe="he", seed=0)
    assert torch.equal(safetensors.torch.load_file("w.safetensors")["0.weight"], net[0].weight)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--out", "no/w.safetensors"], "folder no does not exist"),
        (["--out", "."], "is a folder"),
        (["--out", "w.safetensors", "--json", "no/p.json"], "folder no does not exist"),
        (["--out", "w.safetensors", "--override", "x"], "PATH=INITIALIZER"),
        (["--out", "w.safetensors", "--recipe", "hee"], "Did you mean"),
    ],
)
def test_misuse_is_seen_before_anything_is_drawn(arguments: list[str], expected: str, folder: Path) -> None:
    ended = CliRunner().invoke(app, ["init", "net.py:small", *arguments])
    assert isinstance(ended.exception, BadInput)
    assert expected in str(ended.exception)
    assert [p.name for p in folder.iterdir() if p.is_file()] == ["net.py"]


HALF_WAY = """
import os, signal, safetensors.torch as st
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start its background jobs deaf to it
def half(model, path, metadata):
    open(path, "wb").write(b"half")
    os.kill(os.getpid(), signal.SIGINT)
st.save_model = half
from fanin.cli import main
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_an_interrupted_run_leaves_no_half_file_and_the_old_one(folder: Path) -> None:
    Path("w.safetensors").write_text("the old one")
    command = [sys.executable, "-c", HALF_WAY, "init", "net.py:small", "--out", "w.safetensors", "--json", "p.json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 130, ended.stderr
    assert Path("w.safetensors").read_text() == "the old one"
    assert sorted(p.name for p in folder.iterdir() if p.is_file()) == [
        "net.py",
        "w.safetensors",
    ]  # mutant: writing in place


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_whatever_stops_a_write_the_old_file_stays(error: type[BaseException], tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def stopped() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        stopped()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "old")]  # mutant: writing in place


def test_what_has_no_values_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="weight is on the meta device"):
        save(nn.Linear(2, 2, device="meta"), tmp_path / "w", {})
