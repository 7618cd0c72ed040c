"""The house: a module imports only lower levels or its own package, and frameworks are imported at the edge only."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fanin

ROOT = Path(fanin.__file__).parent
LEVELS = {
    "errors": 0,
    "call": 1,
    "files": 1,
    "fragment": 1,
    "grid": 1,
    "graph": 1,
    "stream": 1,
    "strict_json": 1,
    "activations": 2,
    "initializers": 2,
    "signals": 3,
    "plans": 4,
    "diagnosis": 5,
    "frameworks": 5,
    "experiments": 6,
    "monitor": 6,
    "reports": 7,
    "compat": 8,
    "api": 9,
    "cli": 9,
    "": 9,  # fanin itself
    "__main__": 10,
    "testing": 10,
}
FRAMEWORKS = {"torch", "jax", "flax", "equinox", "keras", "tensorflow", "paddle", "sklearn", "triton"}
MAY_IMPORT_FRAMEWORKS = (
    *("frameworks/torch/", "frameworks/jax/", "frameworks/keras/", "frameworks/paddle/"),
    *("compat/torch/", "compat/jax.py", "compat/keras/", "compat/paddle/"),
    *("experiments/", "cli/"),
    *("monitor/keras.py", "monitor/paddle.py"),  # a callback derives from the class that the framework calls
    "testing/signals.py",  # it runs the operations themselves
    "testing/zoo/",
)
TORCH = ("model", "tracing", "building", "writing", "measuring", "predicting", "watching")  # each knows those before it
FILES = sorted(ROOT.rglob("*.py"))


def package(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py").replace("__init__", "")


def imported(file: Path) -> set[str]:
    """Every module that the file names in an import, at the top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_module_imports_only_lower_levels_or_its_own_package(file: Path) -> None:
    own = package(file)
    for name in imported(file):
        parts = name.split(".")
        if parts[0] != "fanin":
            continue
        other = parts[1] if parts[1] in LEVELS else ""
        assert other == own or LEVELS[other] < LEVELS[own] or own in {"cli", ""}, f"{own} imports {name}"


@pytest.mark.parametrize("room", TORCH)
def test_a_room_of_the_torch_adapter_imports_only_those_before_it(room: str) -> None:
    before = TORCH[: TORCH.index(room) + 1]
    for file in (ROOT / "frameworks" / "torch" / room).glob("*.py"):
        for name in imported(file):
            parts = name.split(".")
            if parts[:3] == ["fanin", "frameworks", "torch"]:
                assert parts[3] in before, f"{file.name} in {room}/ imports {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_framework_is_imported_at_the_edge_only(file: Path) -> None:
    where = str(file.relative_to(ROOT))
    named = {name.split(".")[0] for name in imported(file)} & FRAMEWORKS
    assert not named or where.startswith(MAY_IMPORT_FRAMEWORKS), f"{where} imports {named}"


@pytest.mark.parametrize("module", ["fanin", "fanin.cli", "fanin.reports", "fanin.diagnosis", "fanin.compat.numpy"])
def test_importing_it_imports_no_framework(module: str) -> None:
    code = f"import sys, {module}; sys.exit(str(sys.modules.keys() & {FRAMEWORKS!r} or '') or None)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
