"""What a user may rely on: the names in `__init__`, each of them documented."""

from __future__ import annotations

import importlib
import inspect
from importlib.metadata import version
from pathlib import Path

import pytest

import fanin

ROOT = Path(fanin.__file__).parent
FOLDERS = sorted(folder.name for folder in ROOT.iterdir() if (folder / "__init__.py").is_file())
PACKAGES = ["fanin", *(f"fanin.{name}" for name in FOLDERS)]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    package = importlib.import_module(name)
    assert package.__doc__
    for public in getattr(package, "__all__", []):
        thing = getattr(package, public)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert thing.__doc__, f"{name}.{public} has no docstring"


@pytest.mark.parametrize("name", [p for p in PACKAGES if p != "fanin"])
def test_a_package_opens_with_at_most_eight_lines(name: str) -> None:
    doc = importlib.import_module(name).__doc__
    assert doc is not None
    assert len(doc.strip().splitlines()) <= 8


def test_the_face_of_the_library_is_this() -> None:
    """Change this list together with the README and the changelog."""
    verbs = {"plan", "initialize_", "calibrate", "fill_", "on_meta", "materialize_", "measure", "predict", "diagnose"}
    verbs |= {"gain", "edge_of_chaos", "mean_field", "verify", "watch"}
    verbs |= {"repair_", "compare", "sweep", "clip_", "initialize"}
    nouns = {"Plan", "Signals", "Diagnosis", "Finding", "Gain", "Graph", "Activation", "Initializer", "FaninError"}
    nouns |= {"EdgeOfChaos", "MeanField", "Verification", "Role", "Repair", "Watch"}
    laws = {
        "Zeros",
        "Ones",
        "Constant",
        "Uniform",
        "Normal",
        "TruncatedNormal",
        "VarianceScaling",
        "Orthogonal",
        "Sparse",
        "Keep",
    }
    cases = {"glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal"}
    assert set(fanin.__all__) == verbs | nouns | laws | cases | {"Keep", "__version__"}


def test_the_version_is_written_once() -> None:
    assert fanin.__version__ == version("fanin")
