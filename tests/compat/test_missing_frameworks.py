"""A drop-in whose framework is not installed says how to install it."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(("framework", "package"), [("keras", "Keras"), ("paddle", "PaddlePaddle")])
def test_the_exact_command_is_named(framework: str, package: str) -> None:
    code = f"import sys; sys.modules[{framework!r}] = None; import fanin.compat.{framework}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = ended.stderr.strip().splitlines()[-1]
    assert last == (
        f"fanin.errors.MissingExtra: fanin.compat.{framework} needs {package}, which is not installed. "
        f"Install it: pip install 'fanin[{framework}]'"
    )
