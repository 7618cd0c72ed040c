"""A run as JSON lines: appended one by one, on the disk as soon as they are said, readable after a crash."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Final

from fanin.errors import BadInput
from fanin.strict_json import encoded

NAME: Final = "watch.jsonl"


class JsonLines:
    """An open file that lines are appended to; several runs follow one another, each with its head.

    Raises:
        BadInput: the folder cannot be made or written to.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder) / NAME
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            torn = self.path.exists() and self.path.stat().st_size > 0 and not _ends_a_line(self.path)
            self._file = self.path.open("a", encoding="utf-8", newline="\n")
            if torn:  # what a crash cut off stays a line of its own
                self._file.write("\n")
        except OSError as error:
            raise BadInput(
                f"Cannot write {self.path}: {error.strerror}. Give to= a folder that you may write to."
            ) from error

    def write(self, kind: str, content: dict[str, Any]) -> None:
        """One line; given to the system before this returns.

        Raises:
            OSError: the disk is full, or the folder is gone.
        """
        line = json.dumps({"kind": kind, **_plain(content)}, ensure_ascii=False, allow_nan=False)
        self._file.write(line + "\n")
        self._file.flush()

    def close(self) -> None:
        """Nothing more will be said."""
        self._file.close()


def read_lines(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The lines of a run, of the file or its folder; one that a crash cut off is left out.

    Raises:
        BadInput: the file cannot be read.
    """
    file = Path(path) / NAME if Path(path).is_dir() else Path(path)
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise BadInput(f"Cannot read {file}: {error.strerror}. Give the folder that fanin.watch wrote to.") from error
    found = []
    for line in re.split("\n", text):
        try:
            known = json.loads(line)
        except ValueError:
            continue
        if isinstance(known, dict):
            found.append(known)
    return found


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    plain = encoded(content)
    assert isinstance(plain, dict)
    return plain
