"""`fanin check`: what fails, what is kept, and what machines are told."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonschema import Draft202012Validator
from safetensors.torch import load_file

import fanin
from fanin.cli import main
from fanin.cli.location import line_of, locate
from fanin.cli.settings import settings_for
from fanin.diagnosis import Finding, Place, Severity
from fanin.diagnosis.schema import schema_text
from fanin.errors import BadInput, UnknownName
from fanin.plans import Plan

NET = """
import torch
from torch import nn
from parts import Block

class Deep(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.stem = nn.Linear(8, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(20))

    def forward(self, x):
        x = torch.relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return x

def deep():
    return Deep(), torch.randn(16, 8)

def saturated():
    net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
    nn.init.normal_(net[0].weight, std=10)
    return net, torch.randn(16, 8)

def shallow():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), torch.randn(8, 8)

def raising():
    class Raising(nn.Linear):
        def forward(self, x):
            raise RuntimeError("not today")
    return Raising(8, 8), torch.randn(4, 8)

def misfit():
    return nn.Linear(8, 8), torch.randn(4, 7)

def loss(out):
    return out.square().mean()

def vector(out):
    return out

made = deep
"""
PARTS = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc = nn.Linear(width, width)

    def forward(self, x):
        return torch.relu(self.fc(x))
"""


FACTORIES = ("deep", "saturated", "shallow", "raising", "misfit")


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out, parse_constant=pytest.fail)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "net.py").write_text(NET)
    (tmp_path / "src" / "parts.py").write_text(PARTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "parts", raising=False)
    return tmp_path


Run = Callable[..., Ended]


@pytest.fixture
def check(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """`check("deep", "--json")` is `fanin check src/net.py:deep --json`, in this process."""

    def run(*arguments: str) -> Ended:
        named = [f"src/net.py:{a}" if a in FACTORIES else a for a in arguments]
        monkeypatch.setattr(sys, "argv", ["fanin", "check", *named])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Ended(int(ended.value.code or 0), *capfd.readouterr())

    return run


def write(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(text)


class TestExitCodes:
    def test_healthy_is_0_and_says_no_more(self, check: Run) -> None:
        ended = check("shallow")
        assert ended.code == 0, ended.err
        assert "Healthy." in ended.out
        assert "--fix" not in ended.out.replace("fanin check", "")

    def test_a_finding_is_1_and_nothing_is_tried_unasked(self, check: Run) -> None:
        ended = check("saturated", "--json")
        assert ended.code == 1
        assert [f["code"] for f in ended.data["findings"]] == ["U02"]
        assert ended.data["repair"] is None

    @pytest.mark.parametrize(("severity", "code"), [("error", 0), ("warning", 1)])
    def test_a_warning_fails_only_from_warnings_on(
        self, check: Run, severity: str, code: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Mutant: a threshold that is not looked at."""
        original = fanin.diagnose
        monkeypatch.setattr("fanin.api.diagnose", lambda *a, **k: with_severity(original(*a, **k), Severity.WARNING))
        assert check("saturated", "--fail-on", severity, "--json").code == code

    def test_a_note_never_fails(self, check: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        original = fanin.diagnose
        monkeypatch.setattr("fanin.api.diagnose", lambda *a, **k: with_severity(original(*a, **k), Severity.NOTE))
        assert check("saturated", "--json").code == 0

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("raising",), "not today"),
            (("misfit",), "(4, 7)"),
            (("src/nat.py:deep",), "There is no file 'src/nat.py'"),
            (("shallow", "--loss", "vector"), "loss must return a tensor with one element"),
            (("shallow", "--loss", "lost"), "neither src/net.py nor torch.nn.functional has a function"),
            (("shallow", "--select", "F9"), "There is no check 'F9'"),
            (("shallow", "--ignore", "U2:gate.*"), "There is no check 'U2'. Did you mean 'U"),
            (("shallow", "--fail-on", "note"), "no severity to fail on 'note'"),
            (("shallow", "--format", "xml"), "no format 'xml'"),
            (("shallow", "--format", "sarif", "--json"), "ask for two things"),
            (("shallow", "--out", "w.safetensors"), "add --fix"),
            (("shallow", "--plan", "plan.json"), "add --fix"),
            (("shallow", "--fix", "--out", "no/w.safetensors"), "folder no does not exist"),
            (("shallow", "deep", "--html", "r.html"), "--html is for one model; got 2"),
        ],
    )
    def test_misuse_is_2_and_one_line(self, check: Run, arguments: tuple[str, ...], words: str) -> None:
        ended = check(*arguments)
        assert ended.code == 2, ended.out
        assert words in ended.err
        assert len(ended.err.strip().splitlines()) == 1
        assert ended.out == ""


def with_severity(diagnosis: Any, severity: Severity) -> Any:
    return replace(diagnosis, findings=tuple(replace(f, severity=severity) for f in diagnosis))


class TestOptimizer:
    def test_its_first_step_is_judged(self, check: Run) -> None:
        assert check("shallow", "--optimizer", "Adam(lr=0.001)").code == 0
        ended = check("shallow", "--optimizer", "adam(lr=10)")
        assert ended.code == 1
        assert "B03 update out of proportion" in ended.out

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("adamx", "There is no optimizer 'adamx'. Did you mean 'adamax'?"),
            ("adam(rate=1)", "adam does not take rate"),
            ("adam(lr=-1)", "Invalid learning rate: -1"),
            ("adam(lr=", "Expected a name, or a name with arguments"),
        ],
    )
    def test_what_is_none_is_refused_with_what_there_is(self, check: Run, text: str, says: str) -> None:
        ended = check("shallow", "--optimizer", text)
        assert ended.code == 2
        assert says in ended.err


class TestFix:
    def test_what_helped_is_shown_and_kept(self, check: Run, folder: Path) -> None:
        ended = check("deep", "--fix", "--out", "w.safetensors", "--plan", "plan.json", "--seed", "3")
        assert ended.code == 0, ended.err
        assert (
            "Indistinguishable samples, vanishing gradients as it starts; after the remedies: healthy."
            in ended.out.replace("\n", " ")
        )
        assert "with the remedy of F04 (total_ratio was " in ended.out
        assert "42 of 42 parameters start anew, seed 3: healthy" in ended.out
        assert "w.safetensors: 5,584 parameters" in ended.err
        plan = Plan.from_json((folder / "plan.json").read_text())
        entry, weights = plan["blocks.3.fc.weight"], load_file(folder / "w.safetensors")
        assert weights["blocks.3.fc.weight"].flatten().tolist() == entry.initializer.draw(entry.target, 3).tolist()

    def test_the_plan_and_the_seed_give_the_same_weights_again(self, check: Run, folder: Path) -> None:
        from fanin.cli.model import load_model

        check("saturated", "--fix", "--out", "w.safetensors", "--plan", "plan.json")
        model, _ = load_model("src/net.py:saturated", None, 0)
        fanin.initialize_(model, recipe=Plan.from_json((folder / "plan.json").read_text()), seed=0)
        weights = load_file(folder / "w.safetensors")
        assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())

    def test_of_a_healthy_model_the_start_is_kept_as_it_is(self, check: Run, folder: Path) -> None:
        ended = check("shallow", "--fix", "--out", "w.safetensors")
        assert ended.code == 0
        assert (folder / "w.safetensors").is_file()

    def test_json_has_every_attempt(self, check: Run) -> None:
        data = check("deep", "--fix", "--json").data
        assert [(a["finding"]["code"], a["outcome"]) for a in data["repair"]["attempts"]] == [
            ("F04", "kept"),
            ("B01", "gone"),
        ]
        assert data["repair"]["after"]["healthy"] is True
        assert data["healthy"] is False

    def test_without_it_the_command_that_tries_is_told(self, check: Run) -> None:
        assert "To try the remedies in memory: fanin check src/net.py:deep --fix" in check("deep").out

    def test_the_file_of_weights_is_whole_or_not_there(
        self, check: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*arguments: Any, **keywords: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("fanin.api.repair_", interrupted)
        ended = check("deep", "--fix", "--out", "w.safetensors")
        assert (ended.code, ended.out) == (130, "")
        assert {path.name for path in folder.iterdir()} == {"src"}


class TestSelection:
    def test_what_is_ignored_is_counted_and_does_not_fail(self, check: Run) -> None:
        ended = check("deep", "--ignore", "N01,F04,B01:blocks.*")
        assert ended.code == 0
        assert "2 more not shown, as asked for: F04, B01." in ended.out

    def test_elsewhere_it_is_shown(self, check: Run) -> None:
        assert check("deep", "--ignore", "B01:stem.*", "--json").code == 1

    def test_only_what_is_selected_counts(self, check: Run) -> None:
        assert check("deep", "--select", "F01", "--select", "u", "--json").code == 0

    def test_the_project_says_what_it_wants_and_the_command_line_adds(self, check: Run, folder: Path) -> None:
        write(folder, '[tool.fanin.check]\nignore = ["B01:blocks.*"]\n')
        assert [f["code"] for f in check("deep", "--json").data["ignored"]] == ["B01"]
        assert check("saturated", "--json").code == 1
        assert [f["code"] for f in check("saturated", "--ignore", "U02", "--json").data["ignored"]] == ["U02"]

    def test_the_nearest_file_that_has_the_table_counts(self, folder: Path) -> None:
        write(folder, '[tool.fanin.check]\nfail-on = "error"\nselect = "F"\n')
        (folder / "src" / "pyproject.toml").write_text('[project]\nname = "x"\n')
        found = settings_for(folder / "src" / "net.py")
        assert (found.fail_on, found.selection.select) == ("error", ("F",))
        (folder / "src" / "pyproject.toml").write_text("[tool.fanin.check]\n")
        assert settings_for(folder / "src" / "net.py").fail_on == "warning"
        assert found.and_of(["B01"], ["N"], "warning").selection.select == ("F", "B01")

    @pytest.mark.parametrize(
        ("table", "error", "words"),
        [
            ('ignore = ["B1"]', BadInput, r"pyproject.toml: There is no check 'B1'. Did you mean 'B0?1?'"),
            ('fail_on = "error"', UnknownName, r"no key of .* 'fail_on'. Did you mean 'fail-on'"),
            ('fail-on = "errors"', BadInput, r"Did you mean 'error'"),
            ("fail-on = 1", BadInput, "no severity to fail on 1"),
            ("ignore = 3", BadInput, r'ignore must be a list of codes, such as ignore = \["B01"\]; got 3'),
            ("ignore = [3]", BadInput, "got "),
            ("ignore = ", BadInput, "is not TOML"),
        ],
    )
    def test_what_is_not_known_there_is_told(self, folder: Path, table: str, error: type, words: str) -> None:
        write(folder, f"[tool.fanin.check]\n{table}\n")
        with pytest.raises(error, match=words):
            settings_for(folder / "src" / "net.py")


class TestMachines:
    def test_json_is_as_the_printed_schema_says(self, check: Run) -> None:
        schema = json.loads(check("--schema").out)
        assert schema == json.loads(schema_text())
        for arguments in (("deep", "--fix"), ("saturated",), ("shallow", "saturated")):
            errors = Draft202012Validator(schema).iter_errors(check(*arguments, "--json").data)
            assert [f"{e.json_path}: {e.message}" for e in errors] == []

    def test_several_models_are_one_document(self, check: Run) -> None:
        ended = check("shallow", "saturated", "--format", "json")
        assert ended.code == 1
        assert [(one["checked"], one["healthy"]) for one in ended.data] == [
            ("src/net.py:shallow", True),
            ("src/net.py:saturated", False),
        ]

    def test_sarif_has_the_user_s_line_with_its_path(self, check: Run) -> None:
        ended = check("deep", "shallow", "saturated", "--format", "sarif", "--ignore", "F04")
        (run,) = ended.data["runs"]
        physical = [r["locations"][0]["physicalLocation"] for r in run["results"]]
        assert [(p["artifactLocation"]["uri"], p["region"]["startLine"]) for p in physical] == [
            ("src/parts.py", 11),
            ("src/net.py", 21),  # where nn.Sequential alone computes, the factory
        ]
        assert [r["properties"]["model"] for r in run["results"]] == ["src/net.py:deep", "src/net.py:saturated"]

    def test_sarif_is_of_what_is_left(self, check: Run) -> None:
        ended = check("deep", "--fix", "--format", "sarif")
        assert (ended.code, ended.data["runs"][0]["results"]) == (0, [])

    def test_github_has_annotations_and_a_line_for_each_model(self, check: Run) -> None:
        ended = check("deep", "shallow", "--format", "github", "--ignore", "F04")
        first, *rest = ended.out.splitlines()
        assert first.startswith("::error file=src/parts.py,line=11,title=B01 vanishing gradients::layer ")
        assert rest == ["src/net.py:deep: vanishing gradients (1 ignored)", "src/net.py:shallow: healthy"]
        assert "src/net.py:deep: healthy (2 ignored)" in check("deep", "--format", "github", "--ignore", "F,B").out

    def test_a_loss_may_be_named(self, check: Run) -> None:
        assert check("shallow", "--loss", "loss", "--json").data["signals"]["loss_name"] == "loss"
        assert check("shallow", "--loss", "src/net.py:loss", "--json").data["signals"]["loss_name"] == "loss"


class TestLocation:
    def finding(self, source: str) -> Finding:
        return Finding("B01", "b", Severity.ERROR, Place(source=source), "", "", "")

    def test_a_file_of_another_folder_of_that_name_is_not_taken(self, folder: Path, check: Run) -> None:
        check("deep", "--json")  # which imports src/parts.py
        found = locate(self.finding("parts.py:11"), "src/net.py:deep")
        assert found == ((folder / "src" / "parts.py").resolve(), 11)
        for unknown in ("linear.py:125", "", "nonsense"):
            assert locate(self.finding(unknown), "src/net.py:deep") == (Path("src/net.py"), 18)

    def test_a_factory_that_is_no_function_is_at_the_first_line(self, folder: Path) -> None:
        assert line_of("made", folder / "src" / "net.py") == 1
        assert line_of("Deep", folder / "src" / "net.py") == 6

    def test_a_model_outside_of_the_working_directory_has_a_whole_path(
        self, folder: Path, check: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        shutil.move(folder / "src" / "net.py", elsewhere / "net.py")
        shutil.move(folder / "src" / "parts.py", elsewhere / "parts.py")
        (folder / "inner").mkdir()
        monkeypatch.chdir(folder / "inner")
        ended = check(f"{elsewhere}/net.py:saturated", "--format", "sarif")
        (result,) = ended.data["runs"][0]["results"]
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert uri == (elsewhere / "net.py").resolve().as_uri()
