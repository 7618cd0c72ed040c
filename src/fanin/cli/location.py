"""Where in the user's files a finding is shown: "net.py:14" as a path that exists, and a line."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from fanin.diagnosis import Finding

Location = tuple[Path, int]


def locate(finding: Finding, reference: str) -> Location:
    """The source line of the operation; where none is known, or its file is not the project's, the factory's own."""
    name, _, line = finding.place.source.rpartition(":")
    file, _, factory = reference.rpartition(":")
    own = Path(file)
    if name and line.isdecimal():
        if name == own.name:
            return own, int(line)
        nearby = {path for path in _loaded() if path.name == name}
        for folder in (own.resolve().parent, Path.cwd()):
            inside = [path for path in nearby if path.is_relative_to(folder) and "site-packages" not in path.parts]
            if len(inside) == 1:
                return inside[0], int(line)
    return own, line_of(factory, own)


def line_of(name: str, file: Path) -> int:
    """Where a function or class of a file begins; 1 where it is made in some other way."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return next((node.lineno for node in body if isinstance(node, kinds) and node.name == name), 1)


def shown(path: Path) -> str:
    """Relative to the working directory, with slashes, where it lies below; else whole."""
    whole, here = path.resolve(), Path.cwd()
    return (whole.relative_to(here) if whole.is_relative_to(here) else whole).as_posix()


def _loaded() -> Iterator[Path]:
    """The files of all modules."""
    for module in list(sys.modules.values()):
        if isinstance(file := getattr(module, "__file__", None), str):
            yield Path(file).resolve()
