"""`fanin plan`, `init` and `check` of models that are not PyTorch's."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fanin.cli import app

from .conftest import Called

pytest.importorskip("keras")
NET = """
import keras, numpy as np
from fanin.compat.numpy import Net, layer
from keras import layers

def deep():
    keras.utils.clear_session()
    inner = [layers.Dense(32, activation="relu") for _ in range(20)]
    return keras.Sequential([keras.Input((32,)), *inner, layers.Dense(4)])

def arrays():
    return Net({"W": (8, 4)}, [layer("linear", weight="W", axes=("in", "out"))])

def number():
    return 3
"""
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_a_plan_needs_no_example(called: Called) -> None:
    code, shown = called("plan", "net.py:deep", "--recipe", "he")
    assert (code, "dense_20/kernel" in shown) == (0, True)
    assert "W" in called("plan", "net.py:arrays")[1]


def test_a_start_is_written_as_pytorch_would_store_it(folder: Path, called: Called) -> None:
    load_file = pytest.importorskip("safetensors.torch").load_file
    for factory, name, shape in (("deep", "dense_20/kernel", (4, 32)), ("arrays", "W", (4, 8))):
        code, shown = called("init", f"net.py:{factory}", "--recipe", "he", "--out", "w.safetensors")
        assert (code, "digest" in shown) == (0, True)
        assert tuple(load_file(folder / "w.safetensors")[name].shape) == shape


def test_a_check_finds_what_is_wrong_and_repairs_it(called: Called) -> None:
    code, shown = called("check", "net.py:deep", "--input", "32,32")
    assert (code, "vanishing activations" in shown) == (1, True)
    code, shown = called("check", "net.py:deep", "--input", "32,32", "--fix")
    assert (code, "healthy" in shown) == (0, True)
    assert "keras" in shown


def test_signals_of_a_plan_are_predicted(called: Called) -> None:
    code, shown = called("plan", "net.py:deep", "--predict", "--input", "32,32")
    assert (code, "as it is built" in shown) == (0, True)


@pytest.mark.usefixtures("folder")
def test_what_is_no_model_and_what_lacks_an_example_is_explained() -> None:
    run = CliRunner().invoke(app, ["plan", "net.py:number"])
    assert "a net of NumPy arrays" in str(run.exception) + run.output
    run = CliRunner().invoke(app, ["check", "net.py:deep"])
    assert "gives no example input" in str(run.exception) + run.output
