"""Finding the framework of a model."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from fanin.errors import BadInput
from fanin.frameworks import adapter_of
from fanin.frameworks.torch import example_input


def test_a_module_and_its_subclasses_are_served_by_torch() -> None:
    class Own(torch.nn.Linear):
        pass

    assert adapter_of(Own(2, 2)).__name__ == "fanin.frameworks.torch"


@pytest.mark.parametrize("what", [3, torch.zeros(2), torch.nn.Linear, "model.py"])
def test_anything_else_is_refused(what: object) -> None:
    with pytest.raises(BadInput, match=r"Expected a torch\.nn\.Module, .*got"):
        adapter_of(what)


def test_asking_imports_no_framework() -> None:
    code = "import sys, fanin.frameworks as f, numpy; f.activation_of(numpy.tanh); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_example_is_white_and_always_the_same() -> None:
    x = example_input((64, 1000))
    assert torch.equal(x, example_input((64, 1000)))
    assert abs(float(x.square().mean()) - 1) < 6 * (2 / 64_000) ** 0.5  # 6 σ of the mean of 64,000 χ²
    assert example_input(()).shape == ()
