"""The command line as a user meets it: real processes for exit codes and streams, in-process calls for the rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fanin.cli import app, main
from fanin.cli.terminal import console

NET = """
import torch
from torch import nn

class Deep(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.stem = nn.Linear(16, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(24))

    def forward(self, x):
        x = torch.relu(self.stem(x))
        for block in self.blocks:
            x = torch.relu(block(x))
        return x

def deep():
    return Deep()

def shallow():
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)), torch.randn(8, 16)

def number():
    return 3

def broken():
    return Deep(width="wide")

def empty():
    return nn.ReLU()

def tokens():
    return nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2))

def wrapped():
    return nn.Bilinear(3, 3, 2), (torch.ones(2, 3), torch.ones(2, 3))

constant = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "wrong.py").write_text("def f(:\n")
    return tmp_path


@dataclass(frozen=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Ended]


@pytest.fixture
def fanin(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process, in the folder of the user's files."""

    def run(*arguments: str) -> Ended:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["fanin", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return run


def test_a_model_that_does_not_train_is_found_repaired_and_reported(folder: Path, fanin: Run) -> None:
    ended = fanin("check", "net.py:deep", "--input", "16,16", "--fix", "--html", "report.html")
    assert ended.returncode == 0, ended.stderr
    assert "B01 vanishing gradients" in ended.stdout
    assert "net.py:14" in ended.stdout  # the user's own line
    assert "after the remedies: healthy" in ended.stdout
    assert "mirrored orthogonal" in ended.stdout
    assert "<!doctype html>" in (folder / "report.html").read_text(encoding="utf-8").lower()


def test_a_healthy_model_exits_with_zero_and_json_is_strict(fanin: Run) -> None:
    ended = fanin("check", "net.py:shallow", "--json")
    assert ended.returncode == 0, ended.stderr
    page = json.loads(ended.stdout, parse_constant=pytest.fail)
    assert page["healthy"] is True
    assert page["repair"] is None


def test_the_same_command_sees_the_same_model(fanin: Run) -> None:
    first, second = (fanin("check", "net.py:deep", "--input", "4,16", "--fix", "--json").stdout for _ in range(2))
    assert json.loads(first)["signals"] == json.loads(second)["signals"]
    assert json.loads(first)["repair"]["after"]["healthy"] is True


BAD: dict[str, tuple[list[str], list[str]]] = {
    "no such file": (["check", "nt.py:deep"], ["There is no file 'nt.py'"]),
    "no such factory": (["check", "net.py:dep"], ["Did you mean 'deep'?"]),
    "no colon": (["check", "net.py"], ["FILE.py:factory"]),
    "not a model": (["check", "net.py:number"], ["must return a torch.nn.Module", "got int"]),
    "not callable": (["check", "net.py:constant"], ["is a int"]),
    "factory raises": (["check", "net.py:broken"], ["raised TypeError at net.py:8"]),
    "syntax error": (["check", "wrong.py:f"], ["SyntaxError at wrong.py:1"]),
    "no example": (["check", "net.py:deep"], ["Add --input"]),
    "no shape": (["check", "net.py:deep", "--input", "a,b"], ["--input takes a shape", "'a,b'"]),
    "no parameters": (["check", "net.py:empty", "--input", "2,3"], ["no parameters"]),
    "does not fit": (["check", "net.py:deep", "--input", "4,17"], ["'stem'", "16", "(4, 17)"]),
    "seed too large": (["check", "net.py:deep", "--input", "4,16", "--seed", str(2**128)], ["2**128"]),
    "seed below zero": (["check", "net.py:deep", "--input", "4,16", "--seed", "-1"], ["-1"]),
    "noise for tokens": (["plan", "net.py:tokens", "--input", "4,7"], ["integer", "return (model, example)"]),
    "inputs in a tuple": (["check", "net.py:wrapped"], ["is one tuple", "return (model, a, b)"]),
    "unknown recipe": (["plan", "net.py:shallow", "--recipe", "hee"], ["Did you mean 'he'?"]),
    "unknown argument": (["plan", "net.py:shallow", "--recipe", "normal(sd=1)"], ["does not take sd; it takes std"]),
    "override of nothing": (["plan", "net.py:shallow", "--override", "x=zeros"], ["matches no parameter"]),
    "half an override": (["plan", "net.py:shallow", "--override", "x"], ["PATH=INITIALIZER"]),
    "unknown code": (["explain", "B1"], ["Did you mean 'B01'?"]),
    "unknown list": (["list", "recipe"], ["Did you mean 'recipes'?"]),
    "unknown activation": (["gain", "gelo"], ["Did you mean 'gelu'?"]),
    "negative variance": (["gain", "tanh", "--bias-var", "-1"], ["bias_var is a variance"]),
    "gain into nowhere": (["gain", "tanh", "--html", "no/such/gain.html"], ["no/such"]),
    "unknown command": (["chek"], ["No such command"]),
    "report into nowhere": (["check", "net.py:shallow", "--html", "no/such/report.html"], ["no/such"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_message_and_exit_code_2(name: str, fanin: Run) -> None:
    arguments, expected = BAD[name]
    ended = fanin(*arguments)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    for words in expected:
        assert words in ended.stderr
    if "No such command" not in expected:
        assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr


def test_a_plan_is_printed_and_written_as_json(folder: Path) -> None:
    arguments = ["plan", str(folder / "net.py") + ":shallow", "--override", "*.bias=constant(value=0.1)"]
    printed = CliRunner().invoke(app, arguments)
    assert printed.exit_code == 0, printed.output
    assert "feeds relu" in printed.output
    data = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert data["parameters"][1]["initializer"] == {"law": "Constant", "value": 0.1}


def test_a_plan_needs_no_example_and_says_what_it_does_not_know_then(folder: Path) -> None:
    printed = CliRunner().invoke(app, ["plan", str(folder / "net.py") + ":deep"])
    assert printed.exit_code == 0, printed.output
    assert "note: Made without an example input" in printed.output


@pytest.mark.parametrize("what", ["recipes", "checks", "initializers", "activations", "nets", "data"])
def test_lists_have_a_sentence_for_every_name(what: str) -> None:
    rows = json.loads(CliRunner().invoke(app, ["list", what, "--json"]).output)
    assert len(rows) >= 7
    assert all(text for text in rows.values())
    assert "E[y²] = E[x²]" in CliRunner().invoke(app, ["list", "initializers"]).output  # no markup is read
    assert all(name.split("(")[0] in CliRunner().invoke(app, ["list", what]).output for name in rows)


def test_explain_prints_the_page_and_gain_the_numbers() -> None:
    page = CliRunner().invoke(app, ["explain", "b01"]).output
    assert "vanishing gradients" in page
    assert "Hochreiter 1991" in page
    both = CliRunner().invoke(app, ["explain", "U01", "symmetric units", "--json"]).output
    assert [page["code"] for page in json.loads(both)] == ["U01", "U01"]
    assert json.loads(CliRunner().invoke(app, ["explain", "U01", "--json"]).output)["start_helps"] is True
    for slope in ("0.2", "-0.2", "2e-1"):
        numbers = json.loads(CliRunner().invoke(app, ["gain", f"leaky-relu(negative_slope={slope})", "--json"]).output)
        assert numbers["second_moment"] == pytest.approx(0.52)


def test_gain_prints_the_edge_of_chaos_and_writes_the_phase_diagram(folder: Path, fanin: Run) -> None:
    ended = fanin("gain", "gelu", "--bias-var", "0.05", "--html", "gain.html")
    assert ended.returncode == 0, ended.stderr
    assert "Edge of chaos: σ_w² = 2.30252" in ended.stdout
    assert "torch has none for it" in ended.stdout
    assert "Phase diagram" in (folder / "gain.html").read_text(encoding="utf-8")
    numbers = json.loads(fanin("gain", "tanh", "--bias-var", "0.05", "--json").stdout, parse_constant=pytest.fail)
    assert numbers["edge_of_chaos"]["points"][0]["weight_var"] == pytest.approx(1.76095, abs=1e-5)
    assert numbers["nets"]["lecun, xavier"]["correlation_depth"] == pytest.approx(3.627, abs=1e-3)


def test_help_needs_no_framework_and_the_version_is_printed(fanin: Run) -> None:
    code = (
        "import sys; from fanin.cli import app; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert fanin("--version").stdout.startswith("fanin 0.")


def test_the_module_is_the_command() -> None:
    ended = subprocess.run([sys.executable, "-m", "fanin", "--version"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout[:8]) == (0, "fanin 0.")


def test_a_defect_of_ours_is_one_message_too() -> None:
    code = (
        "import fanin.monitor.explained as m\n"
        "def boom(_): raise RuntimeError('boom')\n"
        "m.explained = boom\n"
        "from fanin.cli import main\nmain()"
    )
    environment = {k: v for k, v in os.environ.items() if k != "FANIN_TRACEBACK"}
    ended = subprocess.run(
        [sys.executable, "-c", code, "explain", "B01"], capture_output=True, text=True, check=False, env=environment
    )
    assert ended.returncode == 70
    assert "Traceback" not in ended.stderr
    assert "RuntimeError: boom" in ended.stderr


@pytest.mark.parametrize(("columns", "widest"), [(None, 110), ("60", 60)])
def test_a_pipe_is_as_wide_as_columns_says(columns: str | None, widest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    assert console().width == widest


def test_a_file_is_run_once_though_its_loss_is_named_in_full(tmp_path: Path) -> None:
    """Mutant: once for the model, and once more for the loss."""
    file = tmp_path / "once.py"
    file.write_text(
        "from pathlib import Path\n"
        "seen = Path(__file__).with_suffix('.txt')\n"
        "seen.write_text((seen.read_text() if seen.exists() else '') + 'x')\n"
        "import torch\n"
        "def make(): return torch.nn.Linear(4, 2), torch.zeros(3, 4)\n"
        "def loss(out): return (out - 1).square().mean()\n"
    )
    ended = CliRunner().invoke(
        app, ["check", f"{file}:make", "--loss", f"{file}:loss", "--json"], catch_exceptions=False
    )
    assert json.loads(ended.output)["signals"]["loss_name"] == "loss"
    assert file.with_suffix(".txt").read_text() == "x"
