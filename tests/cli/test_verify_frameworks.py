"""`fanin verify` of files that are not PyTorch's, and that the same start is the same file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fanin.errors import BadInput

from .conftest import Called

NET = """
import jax.numpy as jnp, keras, numpy as np, torch
from fanin.compat.numpy import Net, layer

def dense():
    keras.utils.clear_session()
    inner = keras.layers.Dense(32, "relu", name="a")
    return keras.Sequential([keras.Input((16,)), inner, keras.layers.Dense(4, name="b")])

def arrays():
    return Net({"W": (64, 32), "V": (32, 4)}, [layer("linear", weight=w, axes=("in", "out")) for w in "WV"])

def pytree():
    def net(params, x):
        return jnp.tanh(x @ params["W"]) @ params["V"]
    return (net, {"W": jnp.zeros((64, 32)), "V": jnp.zeros((32, 4))}), jnp.zeros((8, 64))

def module():
    return torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.Linear(32, 4)), torch.zeros(8, 16)
"""
pytest.importorskip("keras")
pytest.importorskip("safetensors")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def init(called: Called, factory: str) -> None:
    command = ["init", f"net.py:{factory}", "--seed", "7", "--recipe", "he", "--out", "w.safetensors"]
    assert called(*command, "--json", "plan.json")[0] == 0


@pytest.mark.parametrize("factory", ["dense", "arrays", "pytree"])
def test_what_init_wrote_is_what_its_plan_says(factory: str, folder: Path, called: Called) -> None:
    init(called, factory)
    code, shown = called("verify", f"net.py:{factory}", "w.safetensors", "--plan", "plan.json", "--blocks", "0")
    assert (code, "bit for bit" in shown) == (0, True), shown
    file = folder / "w.safetensors"
    held = bytearray(file.read_bytes())
    held[-1] ^= 1
    file.write_bytes(held)
    code, shown = called("verify", f"net.py:{factory}", "w.safetensors", "--plan", "plan.json", "--blocks", "0")
    assert code == 1, shown
    assert called("verify", f"net.py:{factory}", "w.safetensors", "--plan", "plan.json", "--seed", "8")[0] == 1


@pytest.mark.parametrize("name", ["mine.weights.h5", "mine.keras"])
def test_a_file_of_keras_is_verified(name: str, folder: Path, called: Called) -> None:
    import keras  # after importorskip

    import fanin

    model: Any = keras.Sequential(
        [keras.Input((16,)), keras.layers.Dense(32, "relu", name="a"), keras.layers.Dense(4, name="b")]
    )
    plan = fanin.initialize_(model, recipe="he", seed=7)
    (folder / "plan.json").write_text(plan.to_json())
    save = model.save_weights if name.endswith("h5") else model.save
    save(str(folder / name))
    command = ["verify", "net.py:dense", name, "--plan", "plan.json"]
    code, shown = called(*command, "--seed", "7")
    assert (code, "bit for bit" in shown) == (0, True), shown
    assert called(*command, "--seed", "8")[0] == 1
    with pytest.raises(BadInput, match="does not say with which seed"):
        called(*command)
    model.layers[0].kernel.assign(np.zeros((16, 32)))
    save(str(folder / name))
    assert called(*command, "--seed", "7")[0] == 1


def test_files_that_are_not_there_or_of_something_else_are_named(folder: Path, called: Called) -> None:
    init(called, "dense")
    (folder / "other.safetensors").write_bytes(b"no tensors")
    (folder / "other.weights.h5").write_bytes(b"no tensors")
    command = ["verify", "net.py:dense", "--plan", "plan.json", "--seed", "7"]
    for name, says in {
        "gone.safetensors": "no file",
        "other.safetensors": "Cannot read",
        "gone.weights.h5": "no file",
        "other.weights.h5": "does not hold this model",
    }.items():
        with pytest.raises(BadInput, match=says):
            called(*command, name)


WRITTEN = """
import sys
from typer.testing import CliRunner
from fanin.cli import app
for factory in sys.argv[2:]:
    out = f"{sys.argv[1]}-{factory}.safetensors"
    command = ["init", f"net.py:{factory}", "--seed", "7", "--recipe", "he", "--out", out]
    CliRunner().invoke(app, command, catch_exceptions=False)
"""


def test_the_same_start_is_the_same_file_byte_for_byte(folder: Path) -> None:
    """In processes of their own: the order of a table, Python's or Rust's, differs between them."""
    factories = ("dense", "arrays", "module")
    for hashing in ("1", "2"):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": hashing}
        command = [sys.executable, "-c", WRITTEN, hashing, *factories]
        subprocess.run(command, check=True, capture_output=True, env=environment)
    for factory in factories:
        one, other = ((folder / f"{hashing}-{factory}.safetensors").read_bytes() for hashing in ("1", "2"))
        assert one == other, factory
