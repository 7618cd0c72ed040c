"""How a report came about."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path

from fanin import __version__

PROGRAM = f"fanin {__version__}"


def framework_of(model: object) -> str:
    """The package that a model is of."""
    from fanin.frameworks import adapter_of

    return str(adapter_of(model).__name__.rpartition(".")[2])


def facts(started: float, *packages: str) -> dict[str, str | int | float]:
    """Command, seconds since `started` (of `time.perf_counter`), machine, and versions."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "seconds": round(time.perf_counter() - started, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
        "fanin": __version__,
        **{name: getattr(sys.modules.get(name), "__version__", None) or version(name) for name in packages},
    }
