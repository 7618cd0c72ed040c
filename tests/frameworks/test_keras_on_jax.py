"""The tests of Keras models again on the back end of JAX, in a process of their own: Keras reads it when imported."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

FILES = ("test_keras_models.py", "test_keras_signals.py")


@pytest.mark.skipif(not (find_spec("keras") and find_spec("jax")), reason="Keras or JAX is not installed")
def test_the_same_tests_pass_on_jax() -> None:
    options = ["-q", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *(str(Path(__file__).with_name(file)) for file in FILES), *options],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-4000:]
