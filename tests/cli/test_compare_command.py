"""`fanin compare`: a file in, a table, JSON and a page out; and errors that say where to look."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fanin.cli import main

SPEC = """
# a small one
net = "perceptron(depth=2, width=8)"
data = "iris"
recipes = ["he", "zeros"]
seeds = 2
learning_rates = [0.01, 0.1]
steps = 20
batch_size = 16
"""
NET = """
from torch import nn

def build(data):
    return nn.Linear(data.inputs.shape[1], data.outputs)

def alone():
    return nn.Linear(4, 3)

def broken(data):
    return 1 / 0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "spec.toml").write_text(SPEC)
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def command(*arguments: str) -> list[str]:
    """In a process that hears Ctrl-C, which one that a shell runs in the background does not."""
    hears = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    return [sys.executable, "-c", f"{hears}from fanin.cli import main; main()", "compare", *arguments]


class Ended(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def run(folder: Path, *arguments: str) -> Ended:
    """In this process: importing all that a comparison needs takes longer than most of what is asked here."""
    with (
        chdir(folder),
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(io.StringIO()) as out,
        redirect_stderr(io.StringIO()) as err,
    ):
        patch.setattr(sys, "argv", ["fanin", "compare", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def run_alone(folder: Path, *arguments: str) -> Ended:
    ended = subprocess.run(command(*arguments), cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def facts(ended: Ended) -> Any:
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout, parse_constant=pytest.fail)


def test_the_table_the_json_and_the_page(folder: Path) -> None:
    first = run(folder, "spec.toml", "--workers", "1", "--html", "page.html")
    assert first.returncode == 0, first.stderr
    assert "perceptron(depth=2, width=8) on iris: 2 seed(s)" in first.stdout
    assert re.search(r"^he +0\.\d+", first.stdout, re.MULTILINE)
    assert "training 8 nets" in first.stderr
    assert "Report: page.html" in first.stderr
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert "Mean loss at the end by learning rate" in page
    again = facts(run(folder, "spec.toml", "--json"))
    assert again["trained"] == 0, "runs/spec is where it keeps them"
    assert len(again["runs"]) == 8
    assert again["verdict"] in " ".join(first.stdout.split())


def test_quick_is_a_fifth_of_the_steps_two_seeds_and_the_middle_rate(folder: Path) -> None:
    (folder / "spec.toml").write_text(SPEC.replace("steps = 20", "steps = 100").replace("seeds = 2", "seeds = 9"))
    found = facts(run(folder, "spec.toml", "--quick", "--json", "--to", "elsewhere", "--workers", "1"))
    assert (found["training"]["steps"], found["seeds"], found["rates"]) == (20, [0, 1], [0.1])
    assert (folder / "elsewhere").is_dir()
    assert not (folder / "runs").exists()


def test_a_net_of_ones_own_file_is_found_by_every_process(folder: Path) -> None:
    (folder / "spec.toml").write_text(SPEC.replace('"perceptron(depth=2, width=8)"', '"net.py:build"'))
    found = facts(run_alone(folder, "spec.toml", "--json", "--workers", "2"))
    assert found["net"] == "net.py:build"
    assert len(found["runs"]) == found["trained"] == 8
    (folder / "net.py").write_text(NET + "\n# changed\n")
    again = facts(run(folder, "spec.toml", "--json", "--workers", "1"))
    assert again["trained"] == 8, "another file, another net"


def test_a_net_need_not_ask_for_its_data(folder: Path) -> None:
    (folder / "spec.toml").write_text(SPEC.replace('"perceptron(depth=2, width=8)"', '"net.py:alone"'))
    assert facts(run(folder, "spec.toml", "--json", "--workers", "1"))["trained"] == 8


def test_recipes_may_have_names(folder: Path) -> None:
    spec = (
        SPEC.replace('recipes = ["he", "zeros"]', "").rstrip()
        + '\n[recipes]\nmine = "normal(std=0.3)"\ntheirs = "he"\n'
    )
    (folder / "spec.toml").write_text(spec)
    assert facts(run(folder, "spec.toml", "--json", "--workers", "1"))["recipes"] == ["mine", "theirs"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("seeds = 2", "sedes = 2", r"There is no field in spec\.toml:6 'sedes'\. Did you mean 'seeds'"),
        ('"zeros"', '"zeroes"', r"spec\.toml:5: There is no recipe 'zeroes'\. Did you mean 'zeros'"),
        ("perceptron", "perceptrom", r"spec\.toml:3: There is no net 'perceptrom'\. Did you mean 'perceptron'"),
        ("depth=2", "dept=2", r"spec\.toml:3: perceptron does not take dept; it takes depth"),
        ('"iris"', '"iriss"', r"spec\.toml:4: There is no data 'iriss'\. Did you mean 'iris'"),
        ('"iris"', "3", r"spec\.toml:4: data must be a string; got 3"),
        ('["he", "zeros"]', '"he"', r"spec\.toml:5: recipes must be a list"),
        ("steps = 20", "steps = 0", r"spec\.toml:8: steps must be an integer, at least 1; got 0"),
        ("seeds = 2", 'seeds = "2"', r"spec\.toml:6: seeds: expected how many"),
        ("batch_size = 16", "batch_size = 1600", r"spec\.toml:9: batch_size is 1600, but iris has 120"),
        ("net = ", "# net = ", r"spec\.toml does not say net\. A whole one:"),
        ("seeds = 2", "seeds = ", r"spec\.toml is not TOML: .*line 6"),
        ("perceptron(depth=2, width=8)", "net.py:buidl", r"no function in net\.py 'buidl'\. Did you mean 'build'"),
        ("perceptron(depth=2, width=8)", "net.py:broken", r"net\.py:broken raised ZeroDivisionError"),
        ("perceptron(depth=2, width=8)", "nets.py:build", r"There is no file 'nets\.py'"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(folder: Path, old: str, new: str, says: str) -> None:
    (folder / "spec.toml").write_text(SPEC.replace(old, new, 1))
    ended = run(folder, "spec.toml")
    assert ended.returncode == 2, ended.stderr
    assert re.search(says, " ".join(ended.stderr.split())), ended.stderr
    assert not (folder / "runs").exists()


def test_a_file_that_is_not_there(folder: Path) -> None:
    ended = run(folder, "spek.toml")
    assert ended.returncode == 2
    assert "Cannot read spek.toml: No such file or directory. Write one" in ended.stderr


def test_a_table_of_what_varies_is_a_sweep(folder: Path) -> None:
    (folder / "spec.toml").write_text(SPEC + "\n[vary]\ndepth = [1, 2]\nweight_decay = [0.0, 0.1]\n")
    ended = run(folder, "spec.toml", "--workers", "1", "--html", "page.html", "--csv", "runs.csv")
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"^depth +weight_decay +he +zeros$", ended.stdout, re.MULTILINE)
    assert "training 32 nets" in ended.stderr
    assert len((folder / "runs.csv").read_text(encoding="utf-8").splitlines()) == 33
    assert "By recipe and weight_decay, depth 2" in (folder / "page.html").read_text(encoding="utf-8")
    found = facts(run(folder, "spec.toml", "--json"))
    assert [study["at"] for study in found["studies"]][1] == {"depth": 1, "weight_decay": 0.1}


def test_a_lesson_by_its_name(folder: Path) -> None:
    ended = run(folder, "--builtin", "jitter", "--quick", "--workers", "1", "--html", "page.html")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("A little noise for diversity\n")
    assert "not seen" in ended.stdout or "seen" in ended.stdout
    assert "Net2Net" in ended.stdout
    assert (folder / "runs" / "jitter").is_dir()
    assert "What to see" in (folder / "page.html").read_text(encoding="utf-8")


def test_a_lesson_as_a_file_to_change(folder: Path) -> None:
    shown = run(folder, "--builtin", "scale", "--toml")
    (folder / "mine.toml").write_text(shown.stdout)
    found = facts(run(folder, "mine.toml", "--quick", "--json", "--workers", "1"))
    assert found["vary"]["activation"] == ["tanh", "relu"]
    assert len(found["studies"]) == 20


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Expected a TOML file, or --builtin and the name of a lesson"),
        (("spec.toml", "--builtin", "scale"), "Expected a TOML file, or --builtin and the name of a lesson"),
        (("--builtin", "scales"), "There is no lesson 'scales'. Did you mean 'scale'"),
        (("spec.toml", "--csv", "nowhere/runs.csv"), "the folder nowhere does not exist"),
    ],
)
def test_what_is_asked_for_must_make_sense(folder: Path, arguments: tuple[str, ...], says: str) -> None:
    ended = run(folder, *arguments)
    assert ended.returncode == 2
    assert says in " ".join(ended.stderr.split())


def test_vary_must_be_a_table_of_lists(folder: Path) -> None:
    (folder / "spec.toml").write_text(SPEC + "\n[vary]\ndepth = 3\n")
    ended = run(folder, "spec.toml")
    assert ended.returncode == 2
    assert "vary must be a table of lists, such as depth = [5, 10, 20]" in " ".join(ended.stderr.split())


@pytest.mark.skipif(os.name != "posix", reason="signals of another kind")
def test_ctrl_c_ends_it_with_130_and_it_goes_on_from_there(folder: Path) -> None:
    (folder / "spec.toml").write_text(SPEC.replace("steps = 20", "steps = 100000"))
    running = subprocess.Popen(command("spec.toml", "--workers", "2"), cwd=folder, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(folder.glob("runs/spec/??/*.claim")) and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert re.search(r"Stopped: \d of 8 trials are done and kept in runs/spec\. The same", " ".join(said.split()))
    assert "Traceback" not in said
