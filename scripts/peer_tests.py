"""Run a framework's own tests of its initializers against fanin's drop-in.

    python scripts/peer_tests.py torch PATH     # PyTorch's test/nn/test_init.py; needs expecttest and scipy

The file is not part of this repository: take it from the framework's own, at the installed version.
To add a framework: a function here and a line in `PEERS`.
"""

from __future__ import annotations

import importlib.util
import sys
import unittest
from collections.abc import Callable
from pathlib import Path
from types import ModuleType


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no Python file.")
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def torch(path: Path) -> bool:
    """Whether all pass with torch.nn.init replaced by `fanin.compat.torch`."""
    from fanin.compat.torch import installed

    with installed():
        suite = unittest.defaultTestLoader.loadTestsFromModule(load(path))
        return unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful()


PEERS: dict[str, Callable[[Path], bool]] = {"torch": torch}

if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in PEERS:
        raise SystemExit(f"usage: python scripts/peer_tests.py {{{','.join(PEERS)}}} PATH")
    sys.exit(not PEERS[sys.argv[1]](Path(sys.argv[2])))
