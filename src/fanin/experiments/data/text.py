"""Characters of real text that every Python has: the source of its own standard library."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fanin.experiments.data.model import Data, integers, split

MODULES: Final = (  # long, written by many hands, and in every Python
    *("argparse", "ast", "bisect", "calendar", "csv", "dataclasses", "datetime", "difflib"),
    *("enum", "fractions", "functools", "heapq", "inspect", "statistics", "textwrap", "typing"),
)
PRINTABLE: Final = "\n" + "".join(map(chr, range(32, 127)))  # other characters are left out


def text(*, length: int = 32, samples: int = 4096, test_share: float = 0.1) -> Data:
    """Windows of Python's own source; at every position the next character is to be said.

    A fixed list of files, so that one version of Python always gives the same text. Windows of the test are from its
    end, which training never sees.
    """
    ids = _source()
    border = round((1 - test_share) * len(ids))
    test = round(test_share * samples)
    starts = integers(0, "fanin/data/text", (samples,), 1 << 30)
    first = np.where(
        np.arange(samples) < test,
        border + starts % (len(ids) - border - length - 1),
        starts % (border - length - 1),
    )
    windows = ids[first[:, None] + np.arange(length + 1)]
    return split("Python's source", len(PRINTABLE), windows[:, :-1], windows[:, 1:], test=test, tokens=len(PRINTABLE))


@lru_cache(maxsize=1)
def _source() -> npt.NDArray[np.int64]:
    """All modules, one after the other, as places in `PRINTABLE`."""
    place = {character: i for i, character in enumerate(PRINTABLE)}
    return np.array([place[c] for name in MODULES for c in _file(name) if c in place], np.int64)


def _file(module: str) -> str:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise FileNotFoundError(f"The source of Python's module {module} is not installed.")
    path = Path(found.origin)
    return (path if path.suffix == ".py" else path.with_suffix(".py")).read_text(encoding="utf-8")
