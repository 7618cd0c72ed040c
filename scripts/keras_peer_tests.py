"""Run Keras's own published tests of its initializers against `fanin.compat.keras`; exit 1 unless all end as listed.

    KERAS_BACKEND=torch python scripts/keras_peer_tests.py

The tests come with the installed Keras (keras/src/initializers/*_test.py); nothing of them is in this repository.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
import unittest
from typing import Any, Final
from unittest import mock

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras

from fanin.compat import keras as compat

MODULES: Final = (
    "keras.src.initializers.random_initializers_test",
    "keras.src.initializers.constant_initializers_test",
)
# Cases that fail, and why that is right; any other failure is a fault of ours.
IN_OUR_WORDS: Final = "a ValueError as in Keras; the test wants Keras's wording"
DIFFERENT: Final = {
    "test_variance_scaling_invalid_distribution": IN_OUR_WORDS,
    "test_variance_scaling_invalid_mode": IN_OUR_WORDS,
    "test_variance_scaling_invalid_scale": IN_OUR_WORDS,
}


def keras_conftest() -> types.ModuleType:
    """What the tests import from the conftest.py of Keras's repository, which is not in the wheel."""
    module = types.ModuleType("conftest")
    vars(module)["skip_if_backend"] = lambda name, why: unittest.skipIf(keras.backend.backend() == name, why)
    return module


def suite() -> unittest.TestSuite:
    """Keras's test cases, with this package where they say `initializers`."""
    tests = unittest.TestSuite()
    with mock.patch.dict(sys.modules, conftest=keras_conftest()):
        for name in MODULES:
            module: Any = importlib.import_module(name)
            module.initializers = compat
            tests.addTests(unittest.defaultTestLoader.loadTestsFromModule(module))
    return tests


def main() -> int:
    result = unittest.TextTestRunner(verbosity=2, warnings="ignore").run(suite())
    failed = {test.id().rpartition(".")[2] for test, _ in (*result.failures, *result.errors)}
    for test in sorted(failed):
        print(f"{test}: {DIFFERENT.get(test, 'UNEXPECTED')}")
    for test in sorted(DIFFERENT.keys() - failed):
        print(f"{test}: passes, but is listed as different")
    passed = result.testsRun - len(failed) - len(result.skipped)
    print(f"{passed} of {result.testsRun} pass, {len(result.skipped)} skipped, {len(failed)} differ.")
    return int(failed != set(DIFFERENT))


if __name__ == "__main__":
    sys.exit(main())
